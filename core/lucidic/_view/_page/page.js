// Fetches the parts of a page that come near the screen and drops those that are far, opens spans beside their
// session, and takes in what changed while the program runs. Everything that it inserts was escaped by the server.
"use strict";

const panel = document.getElementById("lc-panel");
// A busy browser tells of several frames at once, and what counts is where a part is now: one that was dropped for
// where it was before would stay empty on the screen.
const latest = (seen) => new Map(seen.map(({ target, isIntersecting }) => [target, isIntersecting]));
const near = new IntersectionObserver((seen) => {
  for (const [part, isNear] of latest(seen)) if (isNear && !("loaded" in part.dataset)) load(part);
}, { rootMargin: "600px" });
const far = new IntersectionObserver((seen) => {
  for (const [part, isNear] of latest(seen)) if (!isNear) drop(part);
}, { rootMargin: "2500px" });

function parsed(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  return holder.content;
}

async function text(address) {
  try {
    const answer = await fetch(address);
    return answer.ok ? await answer.text() : null;
  } catch {
    return null;
  }
}

// What is under a finger stays there until it is lifted: a click on a row that was replaced meanwhile is lost.
let lifted = Promise.resolve();
let lift = () => {};
document.addEventListener("pointerdown", () => {
  lift();
  lifted = new Promise((done) => {
    lift = done;
    setTimeout(done, 2000);
  });
}, true);
for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, () => setTimeout(lift), true);

// --- parts of long lists

function look(part) {
  // An observer tells where a part is when it begins to observe it, and then only what changes.
  near.unobserve(part);
  near.observe(part);
}

function watch(root) {
  for (const part of root.querySelectorAll(".lc-chunk")) {
    near.observe(part);
    far.observe(part);
  }
  rove(root);
  mark();
}

async function load(part) {
  const asked = (part.asked = (part.asked || 0) + 1);
  const html = await text(part.dataset.src);
  await lifted;
  if (html === null) setTimeout(look, 1000, part);
  if (html === null || part.asked !== asked || part.html === html) return;
  part.html = html;
  const fresh = parsed(html);
  for (const shut of part.querySelectorAll("details[data-key]:not([open])")) {
    const same = fresh.querySelector(`[data-key="${shut.dataset.key}"]`);
    if (same) same.open = false;
  }
  const stale = [];
  for (const inner of part.querySelectorAll(".lc-chunk[data-loaded]")) {
    const same = fresh.querySelector(`.lc-chunk[data-src="${CSS.escape(inner.dataset.src)}"]:not([data-loaded])`);
    if (!same) continue;
    same.replaceChildren(...inner.childNodes);
    same.dataset.loaded = "";
    same.style.height = "";
    stale.push(same);
  }
  const focused = part.contains(document.activeElement) ? document.activeElement.dataset.span : null;
  part.dataset.loaded = "";
  part.style.height = "";
  part.replaceChildren(fresh);
  watch(part);
  if (focused) link(focused)?.focus({ preventScroll: true });
  await Promise.all(stale.map(load));
}

function drop(part) {
  if (!("loaded" in part.dataset) || part.contains(document.activeElement) || !part.isConnected) return;
  const height = part.getBoundingClientRect().height;
  if (!height) return;
  delete part.dataset.loaded;
  delete part.html;
  if (part.tagName === "TBODY") {
    part.replaceChildren(parsed(`<tr><td colspan="9" style="padding:0;border:0;height:${height}px"></td></tr>`));
  } else {
    part.style.height = `${height}px`;
    part.replaceChildren();
  }
}

const outermost = (root) =>
  [...root.querySelectorAll(".lc-chunk")].filter((part) => !part.parentElement.closest(".lc-chunk"));

// --- spans beside their session

const rows = () => [...document.querySelectorAll("a[data-span]")];
const link = (span) => document.querySelector(`a[data-span="${CSS.escape(span)}"]`);
const chosen = () => new URLSearchParams(location.search).get("span");

function rove(root) {
  // One stop of the Tab key for each tree; the arrows move inside.
  for (const tree of root.querySelectorAll(".lc-tree")) {
    tree.querySelectorAll("a[data-span]").forEach((row, place) => { row.tabIndex = place ? -1 : 0; });
  }
  if (root.matches?.("ul.lc-chunk") && root !== root.parentElement.firstElementChild) {
    for (const row of root.querySelectorAll("a[data-span]")) row.tabIndex = -1;
  }
}

function mark() {
  for (const row of document.querySelectorAll("a[aria-current]")) row.removeAttribute("aria-current");
  const span = panel && !panel.hidden && chosen();
  if (span) link(span)?.setAttribute("aria-current", "true");
}

function alone(query) {
  const given = new URLSearchParams(query);
  return `/span?${new URLSearchParams({ trace: given.get("trace"), id: given.get("span") })}`;
}

async function show(row, moveFocus) {
  const query = new URL(row.href).search;
  history.replaceState(null, "", row.href);
  document.getElementById("lc-alone").href = alone(query);
  panel.hidden = false;
  mark();
  const html = await text(`${alone(query)}&part=1`);
  if (location.search !== query) return;
  document.getElementById("lc-span").replaceChildren(parsed(html ?? "<p>The span cannot be read.</p>"));
  panel.scrollTop = 0;
  if (moveFocus) panel.focus();
}

function withoutSpan() {
  const address = new URL(location.href);
  address.searchParams.delete("trace");
  address.searchParams.delete("span");
  return address;
}

function close() {
  const span = chosen();
  panel.hidden = true;
  history.replaceState(null, "", withoutSpan());
  mark();
  if (span) link(span)?.focus();
}

function move(from, step) {
  const all = rows();
  const next = all[all.indexOf(from) + step];
  if (!next) return;
  next.focus();
  next.scrollIntoView({ block: "nearest" });
  if (!panel.hidden) show(next, false);
}

function turn(step) {
  const heads = [...document.querySelectorAll(".lc-turn > summary")];
  const here = heads.indexOf(document.activeElement.closest(".lc-turn")?.firstElementChild);
  const top = (head) => head.getBoundingClientRect().top;
  const seen = step > 0 ? heads.find((head) => top(head) > 60) : heads.findLast((head) => top(head) < 60);
  const head = here < 0 ? seen : heads[here + step];
  if (!head) return;
  head.focus({ preventScroll: true });
  window.scrollBy(0, top(head) - 70);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.copy) {
    navigator.clipboard?.writeText(button.dataset.copy).then(() => { button.textContent = "Copied"; });
  } else if (button?.id === "lc-close") {
    close();
  }
  const row = event.target.closest("a[data-span]");
  if (!row || !panel || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button) return;
  event.preventDefault();
  show(row, event.detail === 0);
});

document.addEventListener("keydown", (event) => {
  if (event.metaKey || event.ctrlKey || event.altKey) return;
  if (event.key === "Escape" && panel && !panel.hidden) return close();
  if (event.target.matches("input, select, textarea")) return;
  const row = event.target.closest("a[data-span]");
  if (row && event.key === "ArrowDown") move(row, 1);
  else if (row && event.key === "ArrowUp") move(row, -1);
  else if (event.key === "]") turn(1);
  else if (event.key === "[") turn(-1);
  else if (event.key === "/") document.querySelector("input[type=search]")?.focus();
  else return;
  event.preventDefault();
});

// --- what changes while the program runs

async function refresh() {
  const html = await text(withoutSpan());
  await lifted;
  if (html === null) return;
  const fresh = new DOMParser().parseFromString(html, "text/html");
  const root = document.documentElement;
  const place = scrollY;
  const atEnd = place > 0 && place + innerHeight >= root.scrollHeight - 80;
  for (const name of ["[data-live=head]", "#lc-total"]) {
    const [before, after] = [document.querySelector(name), fresh.querySelector(name)];
    if (before && after && before.outerHTML !== after.outerHTML) before.replaceWith(after);
  }
  const [items, freshItems] = [document.getElementById("lc-items"), fresh.getElementById("lc-items")];
  const [known, wanted] = [outermost(items), outermost(freshItems)];
  if (!known.length || !wanted.length) {
    items.replaceChildren(...freshItems.childNodes);
    watch(items);
    return;
  }
  const bySource = new Map(known.map((part) => [part.dataset.src, part]));
  const holder = known[0].parentElement;
  const reloaded = [];
  for (const part of wanted) {
    const same = bySource.get(part.dataset.src);
    bySource.delete(part.dataset.src);
    if (!same) holder.append(part);
    else if ("loaded" in same.dataset) reloaded.push(same);
  }
  for (const gone of bySource.values()) gone.remove();
  watch(holder);
  await Promise.all(reloaded.map(load));
  // Who has scrolled up meanwhile reads something there.
  if (atEnd && scrollY >= place) window.scrollTo(0, root.scrollHeight);
}

function follow(address) {
  const status = document.getElementById("lc-live");
  const say = (words, on) => {
    status.textContent = words;
    status.classList.toggle("lc-on", on);
  };
  const source = new EventSource(address);
  let busy = false;
  let again = false;
  source.addEventListener("open", () => say("live", true));
  source.addEventListener("error", () => say("not connected", false));
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

watch(document.body);
if (panel && chosen()) {
  document.getElementById("lc-alone").href = alone(location.search);
  link(chosen())?.scrollIntoView({ block: "center" });
}
if (document.body.dataset.events) follow(document.body.dataset.events);
