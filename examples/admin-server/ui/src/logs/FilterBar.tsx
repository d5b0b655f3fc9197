import type { RefObject } from "react";
import { isLevel, LEVELS } from "./entry";
import { MAX_LENGTH, type LogFilter } from "./filter";

interface Props {
  filter: LogFilter;
  change: (part: Partial<LogFilter>) => void;
  textInput: RefObject<HTMLInputElement | null>;
}

export function FilterBar({ filter, change, textInput }: Props) {
  return (
    <div className="logs-filters" role="search" aria-label="Filter the log">
      <label>
        Level
        <select value={filter.level} onChange={({ target: { value } }) => isLevel(value) && change({ level: value })}>
          {LEVELS.map((level) => (
            <option key={level} value={level}>
              {level === "trace" || level === "error" ? level : `${level} and above`}
            </option>
          ))}
        </select>
      </label>
      <label>
        Target begins with
        <input
          value={filter.target}
          maxLength={MAX_LENGTH}
          onChange={({ target: { value } }) => change({ target: value })}
          placeholder="slimy_rt::broker"
          spellCheck={false}
          autoComplete="off"
        />
      </label>
      <label className="logs-text">
        Text
        <input
          ref={textInput}
          type="search"
          value={filter.text}
          maxLength={MAX_LENGTH}
          onChange={({ target: { value } }) => change({ text: value })}
          placeholder="Press / to search"
          aria-keyshortcuts="/"
          spellCheck={false}
          autoComplete="off"
        />
      </label>
    </div>
  );
}
