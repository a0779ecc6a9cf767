#include "dns/settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "dns/zone.h"

static int read_secret(const char *text, uint8_t out[WIRE_COOKIE_SECRET], struct error *err)
{
	if (strlen(text) == 2 * WIRE_COOKIE_SECRET &&
	    strspn(text, "0123456789abcdefABCDEF") == 2 * WIRE_COOKIE_SECRET) {
		for (size_t i = 0; i < WIRE_COOKIE_SECRET; i++) {
			char digits[] = { text[2 * i], text[2 * i + 1], '\0' };

			out[i] = (uint8_t)strtoul(digits, NULL, 16);
		}
		return 0;
	}
	/* Not shown: it is a secret, mistyped or not. */
	return error_field(err, ERROR_INPUT, "cookie_secret", NULL,
			   "expected %d hexadecimal digits", 2 * WIRE_COOKIE_SECRET);
}

static int read_cookies(struct dns_settings *settings, const struct dns_texts *texts,
			struct error *err)
{
	struct wire_cookie_secrets *cookies = &settings->cookies;

	cookies->enabled = texts->cookies;
	cookies->given = (unsigned)texts->secret_count;
	for (unsigned i = 0; i < cookies->given; i++)
		if (read_secret(texts->cookie_secret[i], cookies->secret[i], err) < 0)
			return -1;
	if (!cookies->given)
		arc4random_buf(cookies->secret[0], sizeof cookies->secret[0]);
	return 0;
}

int dns_settings_read(struct dns_settings *settings, const struct dns_texts *texts,
		      struct error *err)
{
	*settings = (struct dns_settings){
		.identity = texts->identity,
		.rate = (uint32_t)texts->rate,
		.rate_slip = (uint32_t)texts->rate_slip,
		.wakes = (uint32_t)texts->wakes,
		.wakes_per_network = (uint32_t)texts->wakes_per_network,
		.tcp_connections = (uint32_t)texts->tcp_connections,
		.tcp_per_network = (uint32_t)texts->tcp_per_network,
	};
	if (acl_read(&settings->exempt, texts->limits_exempt, texts->exempt_count, "limits_exempt",
		     err) < 0 ||
	    zone_set_read(&settings->zones, texts, err) < 0 ||
	    read_cookies(settings, texts, err) < 0) {
		dns_settings_free(settings);
		return -1;
	}
	return 0;
}

void dns_settings_free(struct dns_settings *settings)
{
	acl_free(&settings->exempt);
	zone_set_free(settings->zones);
	*settings = (struct dns_settings){ 0 };
}
