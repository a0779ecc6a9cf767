#include "toolstack/libxl/nic.h"

#include <stdio.h>

#include "base/error.h"
#include "proto/spec.h"
#include "toolstack/libxl/device.h"
#include "toolstack/libxl/xen.h"

struct nics {
	struct xen *xen;
	uint32_t domid;
	const struct spec *spec;
};

static int write_nic(const struct nics *nics, xs_transaction_t transaction, size_t i)
{
	const struct spec *spec = nics->spec;
	struct device d;
	char mac_text[18];
	uint8_t mac[6];

	spec_mac(spec, i, mac);
	snprintf(mac_text, sizeof mac_text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	device_begin(&d, nics->xen, transaction, nics->domid, "vif", (unsigned)i);
	device_front(&d, "handle", "%zu", i);
	device_front(&d, "mac", "%s", mac_text);
	device_back(&d, "handle", "%zu", i);
	device_back(&d, "mac", "%s", mac_text);
	device_back(&d, "bridge", "%s", spec->nic.v[i]);
	device_back(&d, "type", "vif");
	device_libxl(&d, "handle", "%zu", i);
	device_libxl(&d, "mac", "%s", mac_text);
	return d.failed;
}

static int write_all(xs_transaction_t transaction, void *arg)
{
	const struct nics *nics = arg;
	int failed = 0;

	for (size_t i = 0; i < nics->spec->nic.n && !failed; i++)
		failed = write_nic(nics, transaction, i);
	return failed;
}

int nic_add(struct xen *xen, uint32_t domid, const struct spec *spec, struct error *err)
{
	struct nics nics = { xen, domid, spec };

	if (spec->nic.n > 0 && device_write(xen, write_all, &nics) < 0)
		return error_errno(err, "cannot write the nics of domain %u to xenstore", domid);
	return 0;
}
