// Loads a span's content when its row is opened, and takes in what changed while the program runs.
"use strict";

document.addEventListener("toggle", async (event) => {
  const row = event.target;
  if (!row.open || !row.dataset || !row.dataset.src) return;
  const content = row.querySelector(":scope > .lc-content");
  const answer = await fetch(row.dataset.src);
  if (!answer.ok) return;
  delete row.dataset.src;
  content.innerHTML = await answer.text();
}, true);

const keyed = (root) => new Map([...root.querySelectorAll("[data-key]")].map((item) => [item.dataset.key, item]));

function keepOpen(before, after) {
  if (before.tagName === "DETAILS") after.open = before.open;
  const open = new Set([...before.querySelectorAll("details[data-span][open]")].map((row) => row.dataset.span));
  for (const row of after.querySelectorAll("details[data-span]")) row.open = open.has(row.dataset.span);
}

async function refresh() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const items = document.getElementById("lc-items");
  const freshItems = fresh.getElementById("lc-items");
  if (!items || !freshItems) {
    document.querySelector("main").replaceWith(fresh.querySelector("main"));
    return;
  }
  const known = keyed(document);
  const order = [];
  for (const [key, item] of keyed(fresh)) {
    const isItem = freshItems.contains(item);
    const before = known.get(key);
    let current = before;
    if (!before || before.dataset.version !== item.dataset.version) {
      current = document.adoptNode(item);
      if (before) {
        keepOpen(before, current);
        before.replaceWith(current);
      }
    }
    if (isItem) order.push(current);
  }
  items.replaceChildren(...order);
}

function follow(address) {
  const status = document.getElementById("lc-live");
  const source = new EventSource(address);
  let busy = false;
  let again = false;
  source.addEventListener("open", () => { status.textContent = "live"; });
  source.addEventListener("error", () => { status.textContent = "not connected"; });
  source.addEventListener("changed", async () => {
    again = true;
    if (busy) return;
    busy = true;
    try {
      while (again) {
        again = false;
        await refresh();
      }
    } finally {
      busy = false;
    }
  });
}

const wanted = new URLSearchParams(location.search).get("span");
if (wanted && /^[0-9a-f]{16}$/.test(wanted)) {
  const row = document.querySelector(`[data-span="${wanted}"]`);
  if (row) {
    row.classList.add("lc-found");
    row.scrollIntoView({block: "center"});
  }
}
if (document.body.dataset.events) follow(document.body.dataset.events);
