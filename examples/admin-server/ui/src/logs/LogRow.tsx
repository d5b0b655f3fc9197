import { memo, useLayoutEffect, useRef } from "react";
import { UNKNOWN } from "../common/format";
import { details, inline, oneLine, type LogEntry } from "./entry";
import { highlight } from "./filter";

interface Props {
  id: number;
  entry: LogEntry;
  needle: string;
  unfolded: boolean;
  /** Where the row is in the list, from 1, for those who do not see the scroll bar. */
  position: number;
  size: number;
  onToggle: (id: number) => void;
  onCopy: (entry: LogEntry) => void;
  onMeasure: (id: number, height: number) => void;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

/** In two parts: there is no room for thousandths on a narrow screen. */
function time(ts: string): { seconds: string; rest: string } {
  const date = new Date(ts);
  const text = Number.isNaN(date.getTime()) ? UNKNOWN : clock.format(date);
  return { seconds: text.slice(0, 8), rest: text.slice(8) };
}

export const LogRow = memo(function LogRow({ id, entry, needle, unfolded, position, size, onToggle, onCopy, onMeasure }: Props) {
  const { seconds, rest } = time(entry.ts);
  return (
    <li className="logs-row" data-level={entry.level} aria-posinset={position} aria-setsize={size}>
      <div className="logs-line">
        <button
          type="button"
          className="logs-unfold"
          aria-expanded={unfolded}
          aria-label={`Details of the line of ${seconds}${rest}`}
          onClick={() => onToggle(id)}
        />
        <time dateTime={entry.ts} title={entry.ts}>
          {seconds}
          <span className="logs-thousandths">{rest}</span>
        </time>
        <span className="logs-level">{entry.level}</span>
        <span className="logs-target" title={entry.target}>
          <Marked text={entry.target} needle={needle} />
        </span>
        <span className="logs-message">
          <bdi>
            <Marked text={oneLine(entry.message)} needle={needle} />
          </bdi>{" "}
          <span className="logs-inline">
            <Marked text={inline(entry)} needle={needle} />
          </span>
        </span>
        <button type="button" className="logs-copy" aria-label={`Copy the line of ${seconds}${rest}`} onClick={() => onCopy(entry)}>
          Copy
        </button>
      </div>
      {unfolded && <Details id={id} entry={entry} needle={needle} onMeasure={onMeasure} />}
    </li>
  );
});

function Marked({ text, needle }: { text: string; needle: string }) {
  return highlight(text, needle).map((part, index) => (part.hit ? <mark key={index}>{part.text}</mark> : part.text));
}

/** Of any height: the list has to know it. */
function Details({ id, entry, needle, onMeasure }: Pick<Props, "id" | "entry" | "needle" | "onMeasure">) {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = (): void => onMeasure(id, element.offsetHeight);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [id, onMeasure]);
  return (
    <div className="logs-details" ref={box}>
      <p>
        <Marked text={entry.message} needle={needle} />
      </p>
      <dl>
        {[["time", entry.ts] as const, ["target", entry.target] as const, ...details(entry)].map(([name, value], index) => (
          <div key={index}>
            <dt>{name}</dt>
            <dd>
              <Marked text={value} needle={needle} />
            </dd>
          </div>
        ))}
      </dl>
    </div>
  );
}
