#include "dns/acl.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static void add_v4(struct acl *acl, uint32_t address, unsigned bits)
{
	uint32_t mask = bits ? htonl(UINT32_MAX << (32 - bits)) : 0;

	/* Wide ones first, and a host with a thousand interfaces has a short list. */
	for (size_t i = 0; i < acl->v4_count; i++)
		if ((acl->v4[i].mask & mask) == acl->v4[i].mask &&
		    (address & acl->v4[i].mask) == acl->v4[i].network)
			return;
	acl->v4 = reallocarray(acl->v4, acl->v4_count + 1, sizeof *acl->v4);
	if (!acl->v4)
		abort();
	acl->v4[acl->v4_count++] = (struct acl_v4){ address & mask, mask };
}

static void add_v6(struct acl *acl, const uint8_t *address, unsigned bits)
{
	struct acl_v6 entry;
	uint8_t mask[16];

	for (unsigned i = 0; i<16; i++, bits = bits> 8 ? bits - 8 : 0)
		mask[i] = bits >= 8 ? 0xff : (uint8_t)(0xff00 >> bits);
	memcpy(entry.mask, mask, sizeof mask);
	memcpy(entry.network, address, sizeof entry.network);
	entry.network[0] &= entry.mask[0];
	entry.network[1] &= entry.mask[1];
	for (size_t i = 0; i < acl->v6_count; i++) {
		const struct acl_v6 *wide = &acl->v6[i];

		if ((wide->mask[0] & entry.mask[0]) == wide->mask[0] &&
		    (wide->mask[1] & entry.mask[1]) == wide->mask[1] &&
		    (entry.network[0] & wide->mask[0]) == wide->network[0] &&
		    (entry.network[1] & wide->mask[1]) == wide->network[1])
			return;
	}
	acl->v6 = reallocarray(acl->v6, acl->v6_count + 1, sizeof *acl->v6);
	if (!acl->v6)
		abort();
	acl->v6[acl->v6_count++] = entry;
}

static unsigned bits_of(const uint8_t *mask, size_t size)
{
	unsigned bits = 0;

	for (size_t i = 0; i < size; i++)
		bits += (unsigned)__builtin_popcount(mask[i]);
	return bits;
}

static int add_text(struct acl *acl, const char *text);

static void add_interfaces(struct acl *acl)
{
	struct ifaddrs *all;

	if (getifaddrs(&all) < 0)
		return;
	for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
		if (!one->ifa_addr || !one->ifa_netmask)
			continue;
		if (one->ifa_addr->sa_family == AF_INET) {
			const struct sockaddr_in *in = (const void *)one->ifa_addr,
						 *mask = (const void *)one->ifa_netmask;

			add_v4(acl, in->sin_addr.s_addr,
			       bits_of((const uint8_t *)&mask->sin_addr, sizeof mask->sin_addr));
		} else if (one->ifa_addr->sa_family == AF_INET6) {
			const struct sockaddr_in6 *in6 = (const void *)one->ifa_addr,
						  *mask = (const void *)one->ifa_netmask;

			add_v6(acl, in6->sin6_addr.s6_addr,
			       bits_of(mask->sin6_addr.s6_addr, sizeof mask->sin6_addr));
		}
	}
	freeifaddrs(all);
}

static int add_word(struct acl *acl, const char *text)
{
	static const char *const local[] = { "127.0.0.0/8", "::1", "169.254.0.0/16", "fe80::/10" };

	if (strcmp(text, "none") == 0)
		return 0;
	if (strcmp(text, "any") == 0)
		return add_text(acl, "0.0.0.0/0"), add_text(acl, "::/0");
	if (strcmp(text, "local") != 0)
		return -1;
	for (size_t i = 0; i < sizeof local / sizeof *local; i++)
		add_text(acl, local[i]);
	add_interfaces(acl);
	return 0;
}

static int add_text(struct acl *acl, const char *text)
{
	const char *slash = strchr(text, '/');
	char address[INET6_ADDRSTRLEN], *end;
	size_t size = slash ? (size_t)(slash - text) : strlen(text);
	unsigned long bits = 0;
	uint8_t bytes[16];
	uint32_t v4;

	if (size >= sizeof address)
		return -1;
	memcpy(address, text, size);
	address[size] = '\0';
	if (slash) {
		if (slash[1] < '0' || slash[1] > '9')
			return -1;
		bits = strtoul(slash + 1, &end, 10);
		if (*end)
			return -1;
	}
	if (inet_pton(AF_INET, address, &v4) == 1 && bits <= 32) {
		add_v4(acl, v4, slash ? (unsigned)bits : 32);
		return 0;
	}
	if (inet_pton(AF_INET6, address, bytes) == 1 && bits <= 128) {
		add_v6(acl, bytes, slash ? (unsigned)bits : 128);
		return 0;
	}
	return slash ? -1 : add_word(acl, text);
}

int acl_read(struct acl *acl, const char *const *texts, size_t count, const char *field,
	     struct error *err)
{
	size_t v4_count = acl->v4_count, v6_count = acl->v6_count;

	for (size_t i = 0; i < count; i++) {
		if (add_text(acl, texts[i]) == 0)
			continue;
		acl->v4_count = v4_count;
		acl->v6_count = v6_count;
		return error_field(err, ERROR_INPUT, field, texts[i],
				   "expected an address, a network such as 192.0.2.0/24, local, "
				   "any or none");
	}
	return 0;
}

void acl_free(struct acl *acl)
{
	free(acl->v4);
	free(acl->v6);
	*acl = (struct acl){ 0 };
}

bool acl_has(const struct acl *acl, const struct sockaddr *address)
{
	if (address->sa_family == AF_INET) {
		uint32_t v4 = ((const struct sockaddr_in *)address)->sin_addr.s_addr;

		for (size_t i = 0; i < acl->v4_count; i++)
			if ((v4 & acl->v4[i].mask) == acl->v4[i].network)
				return true;
	} else if (address->sa_family == AF_INET6) {
		uint64_t v6[2];

		memcpy(v6, &((const struct sockaddr_in6 *)address)->sin6_addr, sizeof v6);
		for (size_t i = 0; i < acl->v6_count; i++)
			if ((v6[0] & acl->v6[i].mask[0]) == acl->v6[i].network[0] &&
			    (v6[1] & acl->v6[i].mask[1]) == acl->v6[i].network[1])
				return true;
	}
	return false;
}

uint64_t acl_network(const struct sockaddr *address)
{
	uint64_t network = 0;

	if (address->sa_family == AF_INET) {
		network = ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 8;
	} else if (address->sa_family == AF_INET6) {
		const uint8_t *bytes = ((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr;

		for (unsigned i = 0; i < 7; i++)
			network = network << 8 | bytes[i];
	}
	return (uint64_t)address->sa_family << 56 | network;
}
