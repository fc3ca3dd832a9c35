-- What wrk asks for. Each thread of wrk has a state of its own, and a number in it.
--   absent KEYS SEED   keys that do not exist, all different, spread over an index of so many keys
--   paths FILE SEED    the paths in the file, one a line, in random order
--   folders FILE SEED  lines "PORT PATH", in random order; each thread asks one of the ports in MKV_BENCH_PORTS

local function ports()
  local all = {}
  for port in string.gmatch(os.getenv("MKV_BENCH_PORTS") or "", "%d+") do table.insert(all, port) end
  return all
end

local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
  local port = ports()[threads]
  if port then thread.addr = wrk.lookup("127.0.0.1", port)[1] end
end

local function get(path)
  return "GET " .. path .. " HTTP/1.1\r\nHost: localhost\r\n\r\n"
end

local function read(file, port)
  local all = {}
  for line in io.lines(file) do
    local of, path = string.match(line, "^(%d+) (.*)$")
    if not port then table.insert(all, get(line)) elseif of == port then table.insert(all, get(path)) end
  end
  for i = #all, 2, -1 do
    local j = math.random(i)
    all[i], all[j] = all[j], all[i]
  end
  return all
end

function init(args)
  local kind, what, seed = args[1], args[2], args[3]
  math.randomseed(seed * 64 + number)
  if kind == "absent" then
    local count = 0
    request = function()
      count = count + 1
      return get(string.format("/bench/%08d-none-%s-%d-%d", math.random(0, what - 1), seed, number, count))
    end
  else
    local requests, at = read(what, ports()[number]), 0
    request = function()
      at = at % #requests + 1
      return requests[at]
    end
  end
end

function done(summary)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('MKV{"requests":%d,"seconds":%.6f,"broken":%d,"refused":%d}\n',
    summary.requests, summary.duration / 1e6, broken, errors.status))
end
