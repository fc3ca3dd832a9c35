-- What wrk asks for, in random order. Each thread of wrk asks one of the ports in MKV_BENCH_PORTS.
--   absent KEYS SEED   keys that do not exist, all different, spread over an index of so many keys
--   paths FILE SEED    lines "PORT PATH"

local function ports()
  local all = {}
  for port in string.gmatch(os.getenv("MKV_BENCH_PORTS"), "%d+") do table.insert(all, port) end
  return all
end

local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
  thread.addr = wrk.lookup("127.0.0.1", ports()[threads])[1]
end

local function get(path)
  return "GET " .. path .. " HTTP/1.1\r\nHost: localhost\r\n\r\n"
end

local function read(file, port)
  local all = {}
  for line in io.lines(file) do
    local of, path = string.match(line, "^(%d+) (.*)$")
    if of == port then table.insert(all, get(path)) end
  end
  for i = #all, 2, -1 do
    local j = math.random(i)
    all[i], all[j] = all[j], all[i]
  end
  return all
end

function init(args)
  local kind, what, seed = args[1], args[2], args[3]
  local count, requests = 0, {}
  math.randomseed(seed * 64 + number)
  if kind == "paths" then requests = read(what, ports()[number]) end
  request = function()
    count = count + 1
    if kind == "paths" then return requests[count % #requests + 1] end
    return get(string.format("/bench/%09d-none-%s-%d-%d", math.random(0, what - 1), seed, number, count))
  end
end

function done(summary)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('MKV{"requests":%d,"seconds":%.6f,"broken":%d,"refused":%d}\n',
    summary.requests, summary.duration / 1e6, broken, errors.status))
end
