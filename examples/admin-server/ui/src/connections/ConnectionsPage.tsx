import { useMe } from "../common/me";
import { EmptyState, Loading } from "../common/ui";
import "./connections.css";
import { ConnectionsScreen } from "./ConnectionsScreen";

export default function ConnectionsPage() {
  const me = useMe();
  return (
    <div className="connections">
      <h1>Connections</h1>
      {!me ? <Loading /> : me.role === "admin" ? <ConnectionsScreen /> : <AdminsOnly />}
    </div>
  );
}

function AdminsOnly() {
  return <EmptyState title="For administrators only">Who is connected is shown to administrators only.</EmptyState>;
}
