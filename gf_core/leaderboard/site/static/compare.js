// Compares two entries on the episodes that both have. The formulas are those of gf_core.statistics: paired_permutation,
// paired_score_interval at the effective size, paired_episodes_needed; the tests hold the two against each other.

const form = document.getElementById("choice");
const result = document.getElementById("result");
const Z95 = 1.959963984540054;
const Z80 = 0.8416212335729143;
const sources = new Map();

export function discordance(first, second, clusters) {
  const groups = new Map();
  for (let episode = 0; episode < clusters.length; episode += 1) {
    const a = first[episode];
    const b = second[episode];
    if (a === "-" || b === "-") continue;
    const group = groups.get(clusters[episode]) ?? { wins: 0, losses: 0, size: 0 };
    group.wins += a === "1" && b === "0" ? 1 : 0;
    group.losses += a === "0" && b === "1" ? 1 : 0;
    group.size += 1;
    groups.set(clusters[episode], group);
  }
  return [...groups.values()];
}

const sum = (groups, value) => groups.reduce((total, group) => total + value(group), 0);
const lead = (group) => group.wins - group.losses;

export function signFlip(groups) {
  const observed = Math.abs(sum(groups, lead));
  if (observed === 0) return 1;
  const most = sum(groups, (group) => Math.abs(lead(group)));
  let ways = new Float64Array(2 * most + 1);
  ways[most] = 1;
  for (const group of groups) {
    const step = Math.abs(lead(group));
    if (step === 0) continue;
    const next = new Float64Array(2 * most + 1);
    for (let place = 0; place < ways.length; place += 1) {
      if (ways[place] === 0) continue;
      next[place + step] += ways[place] / 2;
      next[place - step] += ways[place] / 2;
    }
    ways = next;
  }
  let p = 0;
  for (let place = 0; place < ways.length; place += 1) if (Math.abs(place - most) >= observed) p += ways[place];
  return Math.min(1, p);
}

// Intra-class correlation of the lead, as gf_core.statistics finds it: analysis of variance, negative values taken as 0.
export function correlation(groups) {
  const total = sum(groups, (group) => group.size);
  const number = groups.length;
  if (total === number && number > 1) return 0;
  const squares = sum(groups, (group) => group.wins + group.losses);
  if (number < 2 || squares * total === sum(groups, lead) ** 2) return 1;
  const mean = sum(groups, lead) / total;
  const between = sum(groups, (group) => group.size * (lead(group) / group.size - mean) ** 2) / (number - 1);
  const within = (squares - sum(groups, (group) => lead(group) ** 2 / group.size)) / (total - number);
  const typical = (total - sum(groups, (group) => group.size ** 2) / total) / (number - 1);
  return Math.min(1, Math.max(0, (between - within) / (between + (typical - 1) * within)));
}

function limit(b, c, n) {
  const score = (difference) => {
    const linear = (2 * n - b + c) * difference - b - c;
    const constant = -c * difference * (1 - difference);
    const only = (Math.sqrt(Math.max(linear ** 2 - 8 * n * constant, 0)) - linear) / (4 * n);
    const variance = n * (2 * only + difference * (1 - difference));
    return variance > 0 ? (b - c - n * difference) / Math.sqrt(variance) : -Infinity;
  };
  let low = (b - c) / n;
  let high = 1;
  while (high - low > 1e-12) {
    const middle = (low + high) / 2;
    if (score(middle) > -Z95) low = middle;
    else high = middle;
  }
  return high;
}

export function interval(groups) {
  const total = sum(groups, (group) => group.size);
  const typical = sum(groups, (group) => group.size ** 2) / total;
  const shrink = 1 / (1 + (typical - 1) * correlation(groups));
  const [b, c, n] = [shrink * sum(groups, (g) => g.wins), shrink * sum(groups, (g) => g.losses), shrink * total];
  return [-limit(c, b, n), limit(b, c, n)];
}

export function needed(groups) {
  const ahead = sum(groups, lead);
  const total = sum(groups, (group) => group.size);
  if (ahead === 0) return null;
  const mean = ahead / total;
  const all = sum(groups, (group) => lead(group) ** 2);
  const between = sum(groups, (group) => (lead(group) - mean * group.size) ** 2);
  const root = (Z95 * Math.sqrt(all) + Z80 * Math.sqrt(between)) / Math.abs(ahead);
  // As many targets as any exact test needs to reach 0.05 at all.
  const fewest = (Math.ceil(1 - Math.log2(0.05)) * total) / groups.length;
  return Math.ceil(Math.max(total * root ** 2, fewest));
}

const cent = (share) => (100 * share).toFixed(1).replace("100.0", "100");
const signed = (share) => `${share > 0 ? "+" : share < 0 ? "−" : ""}${cent(Math.abs(share))}`;

function line(cells, head) {
  const row = document.createElement("tr");
  cells.forEach((text, place) => {
    const cell = document.createElement(head || place === 0 ? "th" : "td");
    if (head || place === 0) cell.scope = head ? "col" : "row";
    cell.textContent = text;
    row.append(cell);
  });
  return row;
}

function show(source, a, b) {
  const [first, second] = [a, b].map((id) => source.entries.find((entry) => entry.id === id));
  result.replaceChildren();
  if (!first || !second || first === second) {
    result.append(Object.assign(document.createElement("p"), { textContent: "Choose two entries." }));
    return;
  }
  const groups = discordance(first.success, second.success, source.clusters);
  const total = sum(groups, (group) => group.size);
  const says = document.createElement("p");
  says.className = "verdict";
  result.append(says);
  if (total === 0) {
    says.textContent = "They have no episode in common.";
    return;
  }
  const p = signFlip(groups);
  const difference = sum(groups, lead) / total;
  const [low, high] = interval(groups);
  const better = difference > 0 ? first : second;
  const more = needed(groups);
  says.textContent =
    p <= 0.05
      ? `${better.name} is better (p ${p < 0.001 ? "< 0.001" : `= ${p.toFixed(3)}`}).`
      : `Not separable (p = ${p.toFixed(3)}).`;
  const table = document.createElement("table");
  table.className = "versus";
  const body = document.createElement("tbody");
  const rates = [first, second].map((entry) => {
    const known = [...entry.success].filter((sign) => sign !== "-");
    return [entry.name, `${cent(known.filter((sign) => sign === "1").length / known.length)} % of ${known.length}`];
  });
  body.append(
    ...rates.map((cells) => line(cells)),
    line(["difference, in points", `${signed(difference)} [${signed(low)}, ${signed(high)}]`]),
    line([`only ${first.name} succeeds`, `${sum(groups, (g) => g.wins)} of ${total}`]),
    line([`only ${second.name} succeeds`, `${sum(groups, (g) => g.losses)} of ${total}`]),
    line(["episodes needed to separate them", more === null ? "no number would do: they are even" : String(more)]),
  );
  table.append(body);
  result.append(table);
}

async function load(file) {
  if (!sources.has(file)) sources.set(file, await (await fetch(file)).json());
  return sources.get(file);
}

async function update(event) {
  const source = await load(form.elements.on.value);
  const state = new URLSearchParams(location.search);
  if (!event || event.target.name === "on") {
    for (const [place, name] of ["a", "b"].entries()) {
      const select = form.elements[name];
      const wanted = event ? select.value : state.get(name);
      select.replaceChildren(...source.entries.map((entry) => new Option(entry.name, entry.id)));
      select.selectedIndex = Math.min(place, source.entries.length - 1);
      if (source.entries.some((entry) => entry.id === wanted)) select.value = wanted;
    }
    const [a, b] = [form.elements.a, form.elements.b];
    if (a.value === b.value) b.selectedIndex = a.selectedIndex === 0 ? 1 : 0;
  }
  const now = new URLSearchParams({ on: form.elements.on.value, a: form.elements.a.value, b: form.elements.b.value });
  history.replaceState(null, "", `?${now}`);
  show(source, form.elements.a.value, form.elements.b.value);
}

if (form) {
  form.hidden = false;
  const wanted = new URLSearchParams(location.search).get("on");
  if ([...form.elements.on.options].some((option) => option.value === wanted)) form.elements.on.value = wanted;
  form.addEventListener("change", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
}
