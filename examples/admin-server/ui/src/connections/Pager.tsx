import { count } from "../common/figures";
import { Button } from "../common/ui";
import type { Page } from "./rows";

export function Pager({ page: { page, pages, from, to }, total, onPage }: { page: Page<unknown>; total: number; onPage: (page: number) => void }) {
  if (pages === 1) return null;
  return (
    <nav className="connections-pager" aria-label="Pages">
      <Button disabled={page === 0} onClick={() => onPage(page - 1)}>
        Previous
      </Button>
      <span>
        {count(from)}–{count(to)} of {count(total)}
      </span>
      <Button disabled={page === pages - 1} onClick={() => onPage(page + 1)}>
        Next
      </Button>
    </nav>
  );
}
