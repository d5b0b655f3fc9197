import { bytesText, count } from "../common/figures";
import { Badge, Button } from "../common/ui";
import type { Action } from "./actions";
import { age, roomSummary, shortId, type Column, type Connection, type Order } from "./rows";

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
  // Several connections of one user have to be told apart by those who do not see the row, too.
  const which = `${row.name}, ${row.address}, socket ${shortId(row.socketId)}`;
  return (
    <tr>
      <th scope="row">
        <bdi className="connections-name" title={row.name}>
          {row.name}
        </bdi>
        <span className="connections-id">
          <bdi className="connections-cut" title={row.userId}>
            <code>{row.userId}</code>
          </bdi>
          {isOwn && <span>(this page)</span>}
        </span>
      </th>
      <td>
        <Badge tone="neutral">{row.role}</Badge>
      </td>
      <td>{row.transport}</td>
      <td>
        <Rooms of={row} />
      </td>
      <td>
        <code className="connections-cut" title={row.address}>
          {row.address}
        </code>
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
        <Button aria-label={`Disconnect ${which}`} disabled={isOwn} onClick={() => onAction({ name: "disconnect", connection: row })}>
          Disconnect
        </Button>
        <Button aria-label={`Revoke sessions of ${which}`} onClick={() => onAction({ name: "revoke", connection: row })}>
          Revoke sessions
        </Button>
      </td>
    </tr>
  );
}

function Rooms({ of: { rooms, roomCount } }: { of: Connection }) {
  if (roomCount === 0) return <>none</>;
  const { shown, more } = roomSummary({ rooms, roomCount });
  return (
    <>
      {shown.map((room) => (
        <RoomName key={room} room={room} />
      ))}
      {more > 0 && (
        <details className="connections-more">
          <summary>+{more}</summary>
          <ul>
            {rooms.slice(shown.length).map((room) => (
              <li key={room}>
                <RoomName room={room} />
              </li>
            ))}
            {roomCount > rooms.length && <li>and {count(roomCount - rooms.length)} that are not listed; the filter finds them</li>}
          </ul>
        </details>
      )}
    </>
  );
}

function RoomName({ room }: { room: string }) {
  return (
    <bdi className="connections-cut connections-room" title={room}>
      <code>{room}</code>
    </bdi>
  );
}
