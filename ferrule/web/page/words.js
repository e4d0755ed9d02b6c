// Numbers and labels as people read them.

export const percent = (share) => `${share >= 0.995 && share < 1 ? 99 : Math.round(100 * share)}\u202f%`;

export const precise = (share) => `${(100 * share).toFixed(1)}\u202f%`;

export const range = ({ low, high }) => `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)}`;

export const most = (probabilities) =>
  Object.entries(probabilities).reduce((best, entry) => (entry[1] > best[1] ? entry : best));

/** Give what is said of a face under a rule (null: always the most likely class): its label, why, and how sure. */
export function judge(face, rule) {
  if (!face.probabilities) return { label: face.label, why: face.reason ?? "", short: face.label, doubtful: true };
  const [name, share] = most(face.probabilities);
  if (!rule || (rule.threshold !== null && share >= rule.threshold)) {
    return { label: name, why: `${percent(share)} sure`, short: `${name} ${percent(share)}`, doubtful: false };
  }
  const tell = rule.threshold !== null && percent(share) === percent(rule.threshold) ? precise : percent;
  const needed = rule.threshold === null ? "" : `, and ${tell(rule.threshold)} are needed`;
  return { label: "uncertain", why: `${name} at ${tell(share)}${needed}`, short: "uncertain", doubtful: true };
}

/** Give an element with a class and text. */
export function make(tag, name = "", text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text) element.textContent = text;
  return element;
}

/** Let `list` have one element for each item: those there are kept and filled anew, so that nothing flickers. */
export function fill(list, items, build, update) {
  while (list.children.length > items.length) list.lastElementChild.remove();
  items.forEach((item, at) => {
    if (!list.children[at]) list.append(build(at));
    update(list.children[at], item, at);
  });
}
