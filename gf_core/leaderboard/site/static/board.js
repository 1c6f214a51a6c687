// Filters, sorting, searching and permalinks of a table. Without this file the page shows the same table.
import DataTable from "./dt_bundle.js";

const element = document.getElementById("board");
const form = document.getElementById("filters");
const state = new URLSearchParams(location.search);
const selects = [...form.querySelectorAll("select")];

for (const select of selects) {
  const column = Number(select.dataset.column);
  const values = new Set([...element.tBodies[0].rows].map((row) => row.cells[column].textContent.trim()));
  for (const value of [...values].sort((a, b) => a.localeCompare(b))) {
    select.add(new Option(value, value));
  }
  const wanted = state.get(select.name);
  if (wanted !== null && values.has(wanted)) select.value = wanted;
}

const sort = /^(\d+)-(asc|desc)$/.exec(state.get("sort") ?? "");
const columns = element.tHead.rows[0].cells.length;
const table = new DataTable(element, {
  autoWidth: false,
  order: sort && Number(sort[1]) < columns ? [[Number(sort[1]), sort[2]]] : [],
  pageLength: 50,
  lengthMenu: [50, 100, 500, { label: "all", value: -1 }],
  search: { search: state.get("q") ?? "" },
  columnDefs: [{ targets: columns - 1, orderable: false, searchable: false }],
  language: { search: "search", info: "_START_ to _END_ of _TOTAL_", infoFiltered: "(of _MAX_)", lengthMenu: "show _MENU_" },
});

function apply() {
  for (const select of selects) {
    table.column(Number(select.dataset.column)).search((text) => select.value === "" || text.trim() === select.value);
  }
  table.draw();
}

function remember() {
  const now = new URLSearchParams();
  for (const select of selects) if (select.value !== "") now.set(select.name, select.value);
  if (table.search() !== "") now.set("q", table.search());
  const [order] = table.order();
  if (order) now.set("sort", `${order[0]}-${order[1]}`);
  const text = now.toString();
  history.replaceState(null, "", text === "" ? location.pathname : `?${text}`);
}

form.hidden = false;
form.addEventListener("change", apply);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => {
  setTimeout(() => {
    table.search("").order([]);
    apply();
  });
});
if (selects.some((select) => select.value !== "")) apply();
table.on("draw", remember);
