/*
 * Failures and deaths of a service. Each failure in a row doubles the time within which nobody's
 * query starts it again, from 1 s to 1 min; a death of a guest that was ready is acted on at once
 * the first time. A guest that is ready for a minute, or is put to sleep, ends the row; so does
 * the administrator's start.
 */
#ifndef JITSU_ENGINE_FAILURE_H
#define JITSU_ENGINE_FAILURE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/spec.h"

struct service;

/* What a service carries for it. */
struct failure {
	unsigned in_row;
	uint64_t retry_at; /* not before that time again */
	bool of_stop;	   /* the error is about a stop: it is over when that succeeds */
	char *error;   /* why the last start or stop failed; NULL: none since it was last ready */
	char *death;   /* how its last domain ended by itself; NULL: none did */
	char *console; /* last lines of that one's console; NULL: none */
};

/* A start, wake or stop failed. */
void failure_note(struct service *service, const char *why);
/* Its domain was put away after all. */
void failure_stopped(struct service *service);
/* Its domain ended; says how. `ready`: it served, so its end is no failed start. */
void failure_death(struct service *service, uint8_t reason, bool ready, const char *console);
/* It is ready. */
void failure_over(struct service *service);
/* The administrator starts it: all is forgotten. */
void failure_forget(struct service *service);
void failure_free(struct failure *failure);

/* What is to be done about an end, by enum libxl_shutdown_reason, 255 destroyed by somebody. */
enum spec_fate failure_fate(const struct spec *spec, uint8_t reason);
/* As shown: a row that is over counts no more. */
unsigned failure_row(const struct service *service);
/* Shown as failed, in place of off. */
bool failure_shown(const struct service *service);

#endif
