// What the page does: asks for the status every two seconds and for the history every ten, and shows them.

function volumeRow({ name, state, settled, freeBytes, sizeBytes, disks }) {
  const word = state === "up" && !settled ? "up, not yet written to" : words[state];
  const room = make("td", { class: "room" });
  if (freeBytes === undefined)
    room.append(titled(make("small", {}, "not told"), "Only mkv volume tells of its disks."));
  else {
    const used = make("span");
    used.style.width = `${100 - (100 * freeBytes) / sizeBytes}%`;
    room.append(make("span", { class: "bar" }, used), `${bytes(freeBytes)} free of ${bytes(sizeBytes)}`);
  }
  const marks = disks.slice(0, 64).map((disk) => {
    const free = disk.freeBytes === undefined ? "" : `, ${bytes(disk.freeBytes)} free`;
    const title = `${disk.name || name} ${words[disk.state]}${disk.error ? `, ${disk.error}` : free}`;
    return titled(make("span", {}, mark(disk.state, title)), title);
  });
  const bad = disks.filter((disk) => disk.state !== "up" && disk.name !== "");
  const isPart = bad.length > 0 && bad.length < disks.length;
  const named = bad
    .slice(0, 8)
    .map((disk) => `${disk.name} ${words[disk.state]}`)
    .join(", ");
  const note = isPart ? [make("small", {}, bad.length > 8 ? `${named}, ...` : named)] : [];
  return make(
    "tr",
    { "data-volume": name, "data-state": state },
    make("th", { scope: "row" }, name),
    make("td", { class: `state ${state}` }, mark(state, ""), word),
    room,
    make("td", { class: "disks" }, ...marks, ...note),
  );
}

/** When all copies were looked at, and what was found. */
function lookOf(at, findings) {
  const found = Object.entries(findings).filter(([, number]) => number > 0);
  return [
    at > 0 ? `${ago(at * 1000)} ago` : "never",
    ...found.map(([kind, number]) => `${count(number)} ${kind}`),
  ].join(", ");
}

function showStatus(status) {
  const { version, startedAt, ready, problems, volumes, jobs, connections, connectionsLimit } = status;
  const isWell = problems.length === 0;
  byId("verdict").className = isWell ? "up" : "down";
  const verdict = isWell ? "All is well" : things(problems.length, "problem");
  byId("verdict").replaceChildren(mark(isWell ? "up" : "down", ""), verdict);
  document.title = isWell ? "mkv" : `(${problems.length}) mkv`;
  const cluster = `${things(volumes.length, "volume")}, ${things(status.replicas, "replica")}`;
  byId("about").textContent = `${version}, ${cluster}, running for ${ago(Date.parse(startedAt))}`;
  byId("problems").replaceChildren(...problems.map((problem) => make("li", {}, problem)));
  const sorted = volumes.toSorted((a, b) => worst.indexOf(a.state) - worst.indexOf(b.state));
  byId("volumes").replaceChildren(...sorted.map(volumeRow));

  const most = connectionsLimit === undefined ? "" : ` of ${count(connectionsLimit)}`;
  const ledger = status.ledgerSeconds;
  const numbers = {
    "Takes values": ready ? "yes" : "no",
    "Keys to heal": count(status.toHeal),
    "Healed so far": count(status.healed),
    "Failed to heal": count(status.healFailures),
    "Last whole scrub": lookOf(status.scrubbedAt, status.scrubFindings),
    "Last whole verify": lookOf(status.verifiedAt, status.verifyFindings),
    "Keys owed": count(status.owed),
    "Keys being changed": count(status.claimsOpen),
    "Lists being read": count(status.listsOpen),
    Connections: connections === undefined ? "not told" : `${count(connections)}${most}`,
    "Ledger reads, 99 %": ledger.get?.p99 ? seconds(ledger.get.p99) : "none yet",
    Memory: bytes(status.process.resident_memory_bytes),
  };
  const cells = Object.entries(numbers).map(([name, text]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, text)),
  );
  byId("numbers").replaceChildren(...cells);
  const lines = jobs.map(({ name, keys, keysPerSecond }) =>
    make("li", {}, make("b", {}, name), `: ${things(keys, "key")} so far, ${count(keysPerSecond)} a second`),
  );
  byId("jobs").replaceChildren(...(lines.length > 0 ? lines : [make("li", {}, make("small", {}, "none"))]));
}

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}`);
  return await answer.json();
}

let turn = 0;
let answeredAt = Date.now();
async function refresh() {
  if (!document.hidden) {
    try {
      const isTurn = turn++ % 5 === 0;
      if (isTurn) samples = (await ask("history")).samples;
      showStatus(await ask("status"));
      if (isTurn) drawAll();
      answeredAt = Date.now();
      document.body.classList.remove("stale");
    } catch {
      turn = 0; // The charts come first when it answers again.
      document.body.classList.add("stale");
      byId("verdict").className = "down";
      byId("verdict").replaceChildren(mark("down", ""), `The master has not answered for ${ago(answeredAt)}`);
      document.title = "(?) mkv";
    }
  }
  setTimeout(refresh, 2000);
}
drawAll();
refresh();
