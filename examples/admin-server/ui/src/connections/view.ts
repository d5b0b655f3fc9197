import { COLUMNS, type Order } from "./rows";

/** What of the connections is shown, and how; it stands in the page's address. */
export interface ConnectionsView {
  text: string;
  order: Order;
  /** From 0; people count from 1, and so does the address. */
  page: number;
}

/** As much as the server takes. */
export const MAX_LENGTH = 200;
const BY_DEFAULT = "name";

/** `?text=bob&sort=-age&page=2`; a minus is for descending. */
export function viewFromQuery(query: string): ConnectionsView {
  const parameters = new URLSearchParams(query);
  const sort = parameters.get("sort") ?? BY_DEFAULT;
  const column = COLUMNS.find((name) => name === sort.replace(/^-/, ""));
  const page = Number(parameters.get("page") ?? 1);
  return {
    text: (parameters.get("text") ?? "").slice(0, MAX_LENGTH),
    order: column ? { column, descending: sort.startsWith("-") } : { column: BY_DEFAULT, descending: false },
    page: Number.isSafeInteger(page) && page > 0 ? page - 1 : 0,
  };
}

/** Other parameters stay; what is as by default is left out. */
export function queryWithView(query: string, { text, order, page }: ConnectionsView): string {
  const parameters = new URLSearchParams(query);
  const sort = `${order.descending ? "-" : ""}${order.column}`;
  const set = (name: string, value: string, byDefault: string): void => {
    if (value === byDefault) parameters.delete(name);
    else parameters.set(name, value);
  };
  set("text", text, "");
  set("sort", sort, BY_DEFAULT);
  set("page", String(page + 1), "1");
  const written = parameters.toString();
  return written ? `?${written}` : "";
}
