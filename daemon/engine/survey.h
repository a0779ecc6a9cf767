/*
 * What a new toolstack says that there is: domains and suspend images, each with its service's
 * UUID. At the end each service knows what there is of it, and what is of none is an orphan.
 */
#ifndef JITSU_ENGINE_SURVEY_H
#define JITSU_ENGINE_SURVEY_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct msg_found;
struct msg_image;
struct msg_survey_end;
struct service;

void survey_found(struct engine *engine, const struct msg_found *m);
void survey_image(struct engine *engine, const struct msg_image *m);
void survey_end(struct engine *engine, const struct msg_survey_end *m);

/* Another toolstack: what the last one has named so far is of no interest. */
void survey_begin(struct engine *engine);

/* Did a survey leave a domain or an image of this UUID without an owner? */
bool survey_knows(const struct engine *engine, const uint8_t uuid[16]);
/* If a survey left a domain of this UUID without an owner, or an image, it is the service's. */
void survey_claim(struct engine *engine, struct service *service);
/* A domain that is no service's is gone. */
void survey_gone(struct engine *engine, uint32_t domid);
void survey_free(struct engine *engine);

#endif
