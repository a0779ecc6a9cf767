#!/usr/bin/env python3
"""200 queries at once for a sleeping name: one domain, 200 answers."""
# timeout: 600

import jitsu
from jitsu import call, domains, fail, get, linux, note, same

UDP, TCP = 180, 20

daemon = jitsu.start(clean=True)
for kind, address in (("pv", "10.0.0.31"), ("pvh", "10.0.0.32")):
    name = f"many-{kind}"
    call("service.add", linux(name, address, kind))
    same("domains before", {}, domains())
    watch = jitsu.Watch()
    answers, spoilt = jitsu.ask_at_once(f"{name}.test", UDP, TCP, jitsu.PATIENCE)
    same("queries without a good answer", 0, spoilt)
    same("answers", UDP + TCP, len(answers))
    same("answers with the address", UDP + TCP, sum(a.rcode == 0 and a.addresses == [address] for a in answers))
    state = get(name)
    same("boots", 1, state["boots"])
    same("queries that waited", UDP + TCP, state["boot"]["waiters"])
    same("queries counted", UDP + TCP, state["queries"])
    same("domains", {state["domid"]: name}, domains())
    jitsu.expect_page(address, name)
    if watch.end() != {state["domid"]}:
        fail(f"other domains came and went: {watch.seen}")
    note(f"{name}: {len(answers)} answers ({UDP} UDP, {TCP} TCP), {state['boots']} boot,",
         f"{len(watch.seen)} domain created, answered after {state['boot']['answered']:.0f} ms")
    call("service.remove", {"name": name})
    jitsu.wait_for(jitsu.PATIENCE, lambda: not domains(), "the domain to go")
jitsu.stop_jitsud(daemon)
