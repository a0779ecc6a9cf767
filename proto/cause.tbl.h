/*
 * Why a service came into the state that it shows: the `why` of its record and of its events.
 *
 *   CAUSE(id, "text", "of which changes")
 *
 * A word in capitals stands for what fits the case.
 */
CAUSE(QUERY, "query from CLIENT for NAME", "to starting")
CAUSE(QUERY_WAITS, "a query waits for it", "to starting, by one from before dns or engine began anew")
CAUSE(PACKET, "packet from CLIENT", "to starting, where packets wake it")
CAUSE(ORDER, "order METHOD", "by service.start, stop, pause, restart or pin")
CAUSE(PINNED, "it is pinned", "to starting, unasked")
CAUSE(AGAIN, "another attempt after FAILURES failures in a row", "to starting, unasked")
CAUSE(RESTARTED, "DEATH, and is to be started again", "to starting, by on_reboot, on_poweroff, on_crash")
CAUSE(RUNS, "its domain runs, and no sign is awaited", "to ready")
CAUSE(KEY, "its wait_for_key is there", "to ready")
CAUSE(PORT, "its ready_port took a connection", "to ready")
CAUSE(FRAME, "its first frame came", "to ready")
CAUSE(SIGN_LIMIT, "WHAT in LIMIT ms", "to ready, at the limit of the sign that was awaited")
CAUSE(RESTORED, "it is restored from its suspend image", "to ready")
CAUSE(WOKEN, "it runs again after its pause", "to ready")
CAUSE(USED, "it was used while it was to be put to sleep", "from stopping back to ready")
CAUSE(IDLE, "idle for TIME s by WHAT", "to stopping and to what follows; WHAT is dns, traffic or dns+traffic")
CAUSE(ROOM, "room needed by SERVICE", "to stopping and to what follows")
CAUSE(DIED, "DEATH", "when its domain ended by itself or by somebody")
CAUSE(FAILED, "ERROR", "when a start, wake or stop failed, or there is no room for it")
CAUSE(FOUND, "a survey found its domain DOMID WHAT", "after a start of the engine or the toolstack")
CAUSE(FOUND_IMAGE, "a survey found its suspend image", "the same")
CAUSE(FOUND_NOTHING, "a survey found nothing of it", "the same")
