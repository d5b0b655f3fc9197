import { bytesText } from "../common/figures";
import { Badge, Button } from "../common/ui";
import type { Action } from "./actions";
import { age, roomSummary, type Column, type Connection, type Order } from "./rows";

interface Props {
  rows: readonly Connection[];
  order: Order;
  /** Only worth a column when there are several. */
  withNodes: boolean;
  now: number;
  /** The id of this page's own socket. */
  own: string | undefined;
  onOrder: (column: Column) => void;
  onAction: (action: Action) => void;
}

const COLUMNS: readonly { column: Column; title: string; number?: true }[] = [
  { column: "name", title: "User" },
  { column: "role", title: "Role" },
  { column: "transport", title: "Transport" },
  { column: "rooms", title: "Rooms" },
  { column: "address", title: "Address" },
  { column: "age", title: "Age", number: true },
  { column: "pendingBytes", title: "Pending", number: true },
  { column: "node", title: "Node" },
];

export function ConnectionsTable({ rows, order, withNodes, now, own, onOrder, onAction }: Props) {
  const columns = COLUMNS.filter(({ column }) => withNodes || column !== "node");
  return (
    <div className="connections-scroll" role="region" aria-label="Connections" tabIndex={0}>
      <table>
        <thead>
          <tr>
            {columns.map(({ column, title, number }) => (
              <th
                key={column}
                scope="col"
                className={number && "connections-number"}
                aria-sort={order.column !== column ? "none" : order.descending ? "descending" : "ascending"}
              >
                <button type="button" className="connections-sort" onClick={() => onOrder(column)}>
                  {title}
                </button>
              </th>
            ))}
            <th scope="col">Actions</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <Row key={row.socketId} row={row} withNode={withNodes} now={now} isOwn={row.socketId === own} onAction={onAction} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps {
  row: Connection;
  withNode: boolean;
  now: number;
  isOwn: boolean;
  onAction: Props["onAction"];
}

function Row({ row, withNode, now, isOwn, onAction }: RowProps) {
  return (
    <tr>
      <th scope="row">
        <span className="connections-name">{row.name}</span>
        <span className="connections-id">
          <code>{row.userId}</code>
          {isOwn && " (this page)"}
        </span>
      </th>
      <td>
        <Badge tone="neutral">{row.role}</Badge>
      </td>
      <td>{row.transport}</td>
      <td>
        <Rooms rooms={row.rooms} />
      </td>
      <td>
        <code>{row.address}</code>
      </td>
      <td className="connections-number">
        <time dateTime={row.connectedAt} title={row.connectedAt}>
          {age(row.connectedAt, now)}
        </time>
      </td>
      <td className="connections-number">{bytesText(row.pendingBytes)}</td>
      {withNode && (
        <td>
          <code>{row.node}</code>
        </td>
      )}
      <td className="connections-actions">
        <Button aria-label={`Disconnect ${row.name}`} disabled={isOwn} onClick={() => onAction({ name: "disconnect", connection: row })}>
          Disconnect
        </Button>
        <Button aria-label={`Revoke sessions of ${row.name}`} onClick={() => onAction({ name: "revoke", connection: row })}>
          Revoke sessions
        </Button>
      </td>
    </tr>
  );
}

function Rooms({ rooms }: { rooms: readonly string[] }) {
  if (rooms.length === 0) return <>none</>;
  const { shown, more } = roomSummary(rooms);
  return (
    <>
      {shown.map((room) => (
        <code key={room} className="connections-room">
          {room}
        </code>
      ))}
      {more > 0 && (
        <details className="connections-more">
          <summary title={rooms.join("\n")}>+{more}</summary>
          <ul>
            {rooms.slice(shown.length).map((room) => (
              <li key={room}>
                <code>{room}</code>
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}
