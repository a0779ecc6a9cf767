/*
 * The methods of the control socket (JSON-RPC 2.0): one line each makes the dispatch, the check of
 * the parameters, rpc.discover, openrpc.json and the list in PROTOCOL.md.
 *
 *   METHOD(id, "name", params, result, "help")
 *
 * params: SPEC (the service's object itself), NAME (an object with one key, name) or NONE.
 * result: the name of a result's description in control.c's schema.
 */
METHOD(service_add, "service.add", SPEC, service, "Adds a service; it is stored when this answers.")
METHOD(service_remove, "service.remove", NAME, removed, "Removes a service and destroys its domain.")
METHOD(service_list, "service.list", NONE, services, "Every service, short.")
METHOD(service_get, "service.get", NAME, service, "One service, whole, with its last boot.")
METHOD(daemon_status, "daemon.status", NONE, status, "The daemon: version, backend, counts.")
METHOD(rpc_discover, "rpc.discover", NONE, openrpc, "This interface as an OpenRPC document.")
