import { expect, it } from "vitest";
import { queryWithView, viewFromQuery } from "./view";

const BY_DEFAULT = { text: "", order: { column: "name", descending: false }, page: 0 } as const;

it("stands in the address as it went", () => {
  const view = { text: "a & b=1", order: { column: "age", descending: true }, page: 2 } as const;
  expect(queryWithView("?other=1", view)).toBe("?other=1&text=a+%26+b%3D1&sort=-age&page=3");
  expect(viewFromQuery(queryWithView("", view))).toEqual(view);
});

it("leaves out what is by default, and takes nothing strange", () => {
  expect(queryWithView("?text=a&sort=age&page=9", BY_DEFAULT)).toBe("");
  for (const query of ["", "?sort=shoes&page=-1", "?page=x", "?page=1e99", "?sort="]) expect(viewFromQuery(query)).toEqual(BY_DEFAULT);
  expect(viewFromQuery(`?text=${"a".repeat(300)}`).text).toHaveLength(200);
});
