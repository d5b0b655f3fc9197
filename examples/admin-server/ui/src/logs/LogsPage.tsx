import { useMe } from "../common/me";
import { EmptyState, Loading } from "../common/ui";
import "./logs.css";
import { LogScreen } from "./LogScreen";

export default function LogsPage() {
  const me = useMe();
  return (
    <div className="logs">
      <h1>Logs</h1>
      {!me ? <Loading /> : me.role === "admin" ? <LogScreen /> : <AdminsOnly />}
    </div>
  );
}

function AdminsOnly() {
  return <EmptyState title="For administrators only">The server's log is shown to administrators only.</EmptyState>;
}
