/* The control interface as an OpenRPC document (spec.open-rpc.org), made from control.tbl.h and
 * spec.tbl.h. openrpc.json is this document; a test keeps them equal. */
#ifndef JITSU_PROTO_OPENRPC_H
#define JITSU_PROTO_OPENRPC_H

struct json_object;

/* The caller puts it. */
struct json_object *openrpc_document(void);

#endif
