import { useLayoutEffect, useRef } from "react";

interface FocusHandlers {
  onFocus: () => void;
  onBlur: () => void;
}

/** For an element whose buttons come and go: when the one with the focus goes, `refuge` has it, rather than nothing. */
export function useKeptFocus(refuge: () => HTMLElement | null): FocusHandlers {
  const within = useRef(false);
  useLayoutEffect(() => {
    if (!within.current || document.activeElement !== document.body) return;
    refuge()?.focus({ preventScroll: true });
  });
  // What is taken out of the page with the focus on it is not left by a blur.
  return { onFocus: () => void (within.current = true), onBlur: () => void (within.current = false) };
}
