import { formatDuration, UNKNOWN } from "../common/format";
import { Badge } from "../common/ui";
import { count, megabytes } from "../common/figures";
import type { ServerNode, Subsystem } from "./snapshot";

export function Subsystems({ subsystems }: { subsystems: readonly Subsystem[] }) {
  if (subsystems.length === 0) return <p className="diagnostics-note">The server says nothing about its subsystems.</p>;
  return (
    <ul className="diagnostics-subsystems">
      {subsystems.map(({ name, state }) => (
        <li key={name}>
          <span>{name}</span>
          <Badge tone={state === "ok" ? "good" : "bad"}>{state}</Badge>
        </li>
      ))}
    </ul>
  );
}

/** The nodes that are there: one that is cut off leaves the list. */
export function Nodes({ nodes }: { nodes: readonly ServerNode[] }) {
  if (nodes.length === 0) return <p className="diagnostics-note">The server names no nodes.</p>;
  const connections = nodes.reduce((sum, node) => sum + (node.connections ?? 0), 0);
  return (
    <div className="diagnostics-table" role="region" aria-label="Table of nodes" tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col">Node</th>
            <th scope="col">Health</th>
            <th scope="col" className="diagnostics-number">Connections</th>
            <th scope="col" className="diagnostics-number">Messages</th>
            <th scope="col" className="diagnostics-number">Memory</th>
            <th scope="col" className="diagnostics-number">Uptime</th>
          </tr>
        </thead>
        <tbody>
          {nodes.map((node) => (
            <tr key={node.id}>
              <th scope="row">
                <code>{node.id}</code>
                {node.self && " (this one)"}
              </th>
              <td>
                {/* Without an uptime nobody has heard of it lately. */}
                <Badge tone={node.uptimeSec === undefined ? "bad" : "good"}>{node.uptimeSec === undefined ? "silent" : "up"}</Badge>
              </td>
              <td className="diagnostics-number">{count(node.connections)}</td>
              <td className="diagnostics-number">{count(node.messages)}</td>
              <td className="diagnostics-number">{megabytes(node.residentMB)}</td>
              <td className="diagnostics-number">{node.uptimeSec === undefined ? UNKNOWN : formatDuration(node.uptimeSec)}</td>
            </tr>
          ))}
        </tbody>
        {nodes.length > 1 && (
          <tfoot>
            <tr>
              <th scope="row" colSpan={2}>All {nodes.length} nodes</th>
              <td className="diagnostics-number">{count(connections)}</td>
              <td colSpan={3} />
            </tr>
          </tfoot>
        )}
      </table>
    </div>
  );
}
