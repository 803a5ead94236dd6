// What JavaScript adds to pages that work without it: live updates, keys, the reader's zone, and copying.

const root = document.body.dataset.root;

// Live: the server says that something changed, and the page reads itself again. The focus and open folds stay. A part in
// which the reader is in the middle of something stands still: a field, ticks, a selection of text, a pressed button.

const PAUSE = Number(document.body.dataset.livePause) || 1000;
const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30000;

function holds(element) {
  const selection = getSelection();
  return !selection.isCollapsed && element.contains(selection.anchorNode);
}

function foldsOf(element) {
  return [...element.querySelectorAll("details")];
}

function replace(now, then) {
  if (now.innerHTML === then.innerHTML) return;
  const open = foldsOf(now).map((fold) => fold.open);
  const focus = now.contains(document.activeElement) ? pathOf(now, document.activeElement) : null;
  const scrolled = [now, ...now.querySelectorAll("pre")].map((box) => [box.scrollLeft, box.scrollTop]);
  now.replaceChildren(...then.childNodes);
  foldsOf(now).forEach((fold, i) => { if (i < open.length) fold.open = open[i]; });
  [now, ...now.querySelectorAll("pre")].forEach((box, i) => {
    if (i < scrolled.length) [box.scrollLeft, box.scrollTop] = scrolled[i];
  });
  if (focus) focusAgain(now, focus);
  showAdded(now);
}

// By its place is found again what only shows something. In the place of a button or a link there may now be another one,
// and the next key would press it.
const PLACED = new Set(["SUMMARY", "PRE"]);

function pathOf(within, element) {
  const tag = element.tagName;
  return { tag, name: nameOf(element), place: [...within.querySelectorAll(tag)].indexOf(element) };
}

function nameOf(element) {
  const href = element.getAttribute("href");
  if (href !== null) return href;
  const sent = [...(element.form?.querySelectorAll("input[type=hidden]") ?? [])].map((field) => field.value);
  const action = element.form?.getAttribute("action");
  return [element.getAttribute("value") ?? element.textContent, action, ...sent].join("\n");
}

function focusAgain(within, { tag, name, place }) {
  const same = [...within.querySelectorAll(tag)];
  const found = same.find((one) => nameOf(one) === name) ?? (PLACED.has(tag) ? same[place] : null);
  if (!found && !within.hasAttribute("tabindex")) within.tabIndex = -1;
  (found ?? within).focus({ preventScroll: true });
}

function isBusy(element) {
  const active = document.activeElement;
  const types = active && element.contains(active) && active.matches("textarea, select, input:not([type=checkbox])");
  return types || holds(element) || element.querySelector(".tick input:checked, :active") !== null;
}

// Whether a part stood still.
async function readAgain() {
  const answer = await fetch(location.href, { headers: { "X-Fragment": "1" }, credentials: "same-origin" });
  if (answer.status === 401) return location.reload();
  if (!answer.ok) throw new Error(`the page answers ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  let isHeld = false;
  for (const now of document.querySelectorAll("[data-live][id]")) {
    const then = page.getElementById(now.id);
    if (then && isBusy(now)) isHeld = true;
    else if (then) replace(now, then);
  }
  return isHeld;
}

function live(address) {
  let source = null, failures = 0, again = null, due = null, missed = false, reading = false;
  let isHeld = false, isPaused = false;

  function hold(held) {
    isHeld = held;
    document.querySelector("[data-held]").hidden = !held;
  }

  async function update() {
    due = null;
    if (document.hidden || isPaused) { missed = true; return; }
    reading = true;
    try { hold(await readAgain()); document.body.classList.remove("stale"); }
    catch { document.body.classList.add("stale"); missed = true; }
    reading = false;
    if (missed) { missed = false; soon(); }
  }

  // What a reader does may end what held a part.
  for (const kind of ["pointerup", "keyup", "change", "focusout", "selectionchange"])
    document.addEventListener(kind, () => { if (isHeld) { isHeld = false; soon(); } });

  const pause = document.querySelector("[data-pause]");
  pause.parentElement.hidden = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    if (!isPaused) { missed = false; soon(); }
  });

  function soon() {
    if (reading) missed = true;
    else due ??= setTimeout(update, PAUSE);
  }

  function open() {
    again = null;
    source = new EventSource(address);
    source.addEventListener("open", () => { if (failures) soon(); failures = 0; });
    source.addEventListener("change", soon);
    source.addEventListener("away", () => document.body.classList.add("stale"));
    source.addEventListener("full", () => { document.body.classList.add("stale"); close(); });
    source.addEventListener("error", () => {
      // The browser's own reconnecting has no back-off: all pages would come back at the same time.
      close();
      const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** failures++);
      again = setTimeout(open, wait * (0.5 + Math.random() / 2));
    });
  }

  function close() {
    source?.close();
    source = null;
    clearTimeout(again);
    again = null;
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else if (!source) { failures = 0; open(); soon(); }
  });
  if (!document.hidden) open();

  // What changes without an event, such as a heartbeat.
  const every = Number(document.body.dataset.liveEvery);
  if (every) setInterval(() => { if (!document.hidden) soon(); }, every);
}

// A form with `data-asks` shows what it would do while it is filled in: as its button of that name does without this.

const TYPING = 400;

function askWhileTyping(form) {
  const name = form.dataset.asks;
  let due = null, asking = new AbortController();

  async function ask() {
    asking.abort();
    asking = new AbortController();
    const body = new URLSearchParams(new FormData(form));
    body.set(name, "yes");
    try {
      const options = { method: "POST", body, headers: { "X-Fragment": "1" }, signal: asking.signal };
      const answer = await fetch(form.action, { ...options, credentials: "same-origin" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const then = page.getElementById(name);
      if (then) document.getElementById(name).replaceChildren(...then.childNodes);
    } catch { /* the next letter asks again */ }
  }

  form.addEventListener("input", () => { clearTimeout(due); due = setTimeout(ask, TYPING); });
}

// Keys: `g` and a letter, `/`, `?`. Readers who dictate, or whose hands tremble, switch them off.

let isGoing = false;

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  if (isGoing) {
    isGoing = false;
    const entry = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
    if (entry) { event.preventDefault(); entry.click(); }
  } else if (event.key === "g") {
    isGoing = true;
    setTimeout(() => { isGoing = false; }, 1500);
  } else if (event.key === "/") {
    const field = document.querySelector("[data-search]");
    if (field) { event.preventDefault(); field.focus(); }
  } else if (event.key === "?") {
    document.getElementById("help").showModal();
  }
}

// The reader's zone, once: the server shows times in it from the next page on.

function tellZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.split("; ").some((one) => one.startsWith("taskyard_zone="))) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `taskyard_zone=${zone}; Path=${root || "/"}; Max-Age=31536000; SameSite=Lax${secure}`;
    if (document.querySelector("main time")) readAgain().catch(() => {});
  }
}

function showAdded(within) {
  for (const label of within.querySelectorAll("[data-tick-all]")) label.hidden = false;
  if (!navigator.clipboard) return;
  for (const button of within.querySelectorAll("[data-copy]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
  const before = button.textContent;
  button.textContent = "✓";
  setTimeout(() => { button.textContent = before; }, 1500);
});
document.addEventListener("change", (event) => {
  if (!event.target.closest("[data-tick-all]")) return;
  for (const box of event.target.closest("table").querySelectorAll("tbody .tick input")) box.checked = event.target.checked;
});
if (document.body.dataset.shortcuts !== "off") document.addEventListener("keydown", press);
showAdded(document);
tellZone();
document.querySelectorAll("form[data-asks]").forEach(askWhileTyping);
if (document.body.dataset.liveFrom) live(document.body.dataset.liveFrom);
