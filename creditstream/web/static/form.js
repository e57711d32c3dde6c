// The filter form: what it says stands in the address.
import { h } from "./dom.js";
import { isFiltered, isOrderId } from "./filters.js";
import { t, term } from "./words.js";

const STATUSES = ["under_review", "approved", "rejected"];
const PRODUCTS = ["personal_loan", "payroll_loan", "vehicle_financing", "mortgage", "credit_card", "microcredit"];

/** `go(filters)` and `goToOrder(id)` are called when the reader asks for others. */
export function filterForm(filters, go, goToOrder) {
  const search = h("input", { id: "search", name: "customer", type: "search", value: filters.customer ?? "",
    placeholder: t("filter.hint"), autocomplete: "off", spellcheck: "false", maxlength: 64 });
  const form = h("form", { class: "filters", role: "search", "aria-label": t("filter.title"), action: "/" },
    field("search", t("filter.search"), h("span", { class: "joined" }, search, h("button", {}, t("filter.find")))),
    field("status", t("filter.status"), select("status", STATUSES, filters.status)),
    field("product", t("filter.product"), select("product", PRODUCTS, filters.product)),
    field("from", t("filter.from"), h("input", { id: "from", name: "from", type: "date", value: filters.from?.slice(0, 10) ?? "" })),
    field("to", t("filter.to"), h("input", { id: "to", name: "to", type: "date", value: filters.to?.slice(0, 10) ?? "" })),
    isFiltered(filters) && h("a", { class: "clear", href: "/", "data-link": true }, t("filter.clear")),
  );
  const apply = () => {
    const given = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
    if (isOrderId(given.customer)) goToOrder(given.customer.toLowerCase());
    else go(given);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  form.addEventListener("change", (event) => {
    // Leaving the search field is no wish to search; Enter and the button are.
    if (event.target !== search) apply();
  });
  return form;
}

function field(id, label, control) {
  return h("div", { class: `field ${id}` }, h("label", { for: id }, label), control);
}

function select(name, values, chosen) {
  const all = chosen && !values.includes(chosen) ? [...values, chosen] : values;
  const kind = name === "status" ? "status" : "product";
  const options = all.map((value) => h("option", { value, selected: value === chosen }, term(kind, value)));
  return h("select", { id: name, name }, h("option", { value: "" }, t("filter.all")), options);
}
