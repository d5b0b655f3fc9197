import { useEffect, useState } from "react";

/** The time in milliseconds, once a second: ages grow between two answers of the server too. */
export function useSeconds(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
