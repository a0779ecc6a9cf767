/* jitsuctl add --xl-cfg, and paths that are relative. Run from the top of the tree. */
#include <libxlutil.h>

#include "run_jitsuctl.h"

#define SAMPLE "tests/unit/data/rumprun-xen.xl.cfg"
#define LEAST  "name=\"web\"\nkernel=\"/k\"\nmemory=64\n"

/* What was added, without what every test has; the caller frees it. */
static char *added(void)
{
	struct json_object *answer = json_tokener_parse(out), *spec, *uuid;
	char *text;

	assert_non_null(answer);
	assert_true(json_object_object_get_ex(answer, "spec", &spec));
	if (json_object_object_get_ex(spec, "uuid", &uuid) &&
	    strncmp(json_object_get_string(uuid), "11111111", 8) != 0)
		json_object_object_del(spec, "uuid");
	json_object_object_del(spec, "dns");
	json_object_object_del(spec, "ip");
	text = strdup(json_object_to_json_string_ext(spec, JSON_C_TO_STRING_PLAIN |
								   JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(answer);
	return text;
}

/* $D stands for the working directory in expected. */
static void expect(const char *config, const char *more, const char *expected)
{
	cleanup_free char *line = NULL, *text = NULL, *whole = NULL;
	FILE *stream;
	size_t size;

	write_file("web.cfg", config);
	assert_true(asprintf(&line, "$J --json add --xl-cfg web.cfg dns=w.org ip=10.0.0.1 %s",
			     more) > 0);
	RUN(line, 0);
	text = added();
	stream = open_memstream(&whole, &size);
	for (const char *c = expected; *c; c++) {
		if (c[0] == '$' && c[1] == 'D' && c++)
			fputs(directory, stream);
		else
			fputc(*c, stream);
	}
	fclose(stream);
	assert_string_equal(text, whole);
	RUN("$J remove web", 0);
}

static void sample(void **state)
{
	cleanup_free char *path = NULL, *text = NULL;

	(void)state;
	assert_true(asprintf(&path, "%s/" SAMPLE, top) > 0);
	text = slurp(path);
	expect(text, "",
	       "{\"name\":\"web\",\"kernel\":\"$D/nginx.bin\",\"memory\":65536,\"vcpus\":1,"
	       "\"type\":\"pv\",\"nic\":[\"br0\"],"
	       "\"disk\":[\"file:$D/a.iso,xvda,w\",\"file:$D/b.iso,xvdb,w\"],"
	       "\"on_poweroff\":\"preserve\",\"on_crash\":\"preserve\"}");
	expect(text, "on_poweroff=destroy rumprun_config=json.cfg name=web,disk=images/a.iso@xvda",
	       "{\"name\":\"web\",\"kernel\":\"$D/nginx.bin\",\"memory\":65536,\"vcpus\":1,"
	       "\"type\":\"pv\",\"nic\":[\"br0\"],\"disk\":[\"$D/images/a.iso@xvda\"],"
	       "\"rumprun_config\":\"$D/json.cfg\","
	       "\"on_poweroff\":\"destroy\",\"on_crash\":\"preserve\"}");
}

static void all_keys(void **state)
{
	(void)state;
	expect("# a guest\nname = 'web'; uuid=\"11111111-2222-3333-4444-555555555555\"\n"
	       "kernel=\"/k\"\nramdisk=\"./initrd\"\nroot=\"/dev/xvda1 ro\"\nextra=\"quiet # x\"\n"
	       "memory=64\nmaxmem=64\nvcpus=2\nmaxvcpus=0x2\ntype=\"pvh\"\nbuilder=\"hvm\"\n"
	       "vif = [ 'mac=00:16:3e:01:02:03, bridge=br0,script=vif-bridge',\n"
	       "  # the other one\n  'mac=00:16:3e:01:02:04,bridge=br1,type=vif',\n]\n"
	       "disk=[ ]\ncpus=\"0-3,^1\"\npool=\"Pool-0\"\non_reboot=\"destroy\"\n"
	       "on_watchdog=\"destroy\"\nacpi=1\nvga=\"none\"\nvnc=0\nserial=\"pty\"\nboot=\"c\"\n",
	       "",
	       "{\"name\":\"web\",\"uuid\":\"11111111-2222-3333-4444-555555555555\","
	       "\"kernel\":\"/k\",\"ramdisk\":\"$D/initrd\","
	       "\"cmdline\":\"root=/dev/xvda1 ro quiet # x\",\"memory\":65536,\"vcpus\":2,"
	       "\"type\":\"pvh\",\"cpus\":\"0-3,^1\",\"cpupool\":\"Pool-0\",\"nic\":[\"br0\","
	       "\"br1\"],"
	       "\"mac\":[\"00:16:3e:01:02:03\",\"00:16:3e:01:02:04\"],\"on_reboot\":\"destroy\"}");
	expect(LEAST "builder=\"generic\"\ncmdline=\"a=1\"\nroot=\"/x\"\n"
		     "vif=['bridge=a,script=vif-route','bridge=b,script=/s/mine']\n"
		     "extra=\"not this\"\n",
	       "memory=32M",
	       "{\"name\":\"web\",\"kernel\":\"/k\",\"cmdline\":\"a=1\",\"memory\":32768,"
	       "\"type\":\"pv\",\"nic\":[\"a\",\"b\"],"
	       "\"script\":[\"/etc/xen/scripts/vif-route\",\"/s/mine\"]}");
	expect(LEAST "vif=['']\n", "nic=br7",
	       "{\"name\":\"web\",\"kernel\":\"/k\",\"memory\":65536,\"type\":\"pv\","
	       "\"nic\":[\"br7\"]}");
}

static void refusals(void **state)
{
	static const struct {
		const char *config;
		const char *words[4];
	} rows[] = {
		{ LEAST
		  "vfb=['vnc=1']\npci=['01:00.0']\n\n; device_model_args = ['a',\n'b']; usb=1\n",
		  { "web.cfg:4: vfb: jitsud cannot honour this key\n",
		    "web.cfg:5: pci: jitsud cannot honour this key\n",
		    "web.cfg:7: device_model_args: jitsud cannot",
		    "web.cfg:8: usb: \"1\": jitsud can honour only 0\n" } },
		{ LEAST "maxmem=128\nmaxvcpus=4\non_crash=\"coredump-destroy\"\n",
		  { "web.cfg:4: maxmem: \"128\": expected as memory, 64",
		    "web.cfg:5: maxvcpus: \"4\": expected as vcpus, 1",
		    "web.cfg:6: on_crash: \"coredump-destroy\": expected one of: destroy, "
		    "restart" } },
		{ LEAST "vif=['bridge=b,model=e1000','mac=00:16:3e:00:00:01','bridge=c,"
			"script=vif-route']\n",
		  { "vif: \"model\": jitsud can honour only bridge, mac and script in it",
		    "vif: \"mac=00:16:3e:00:00:01\": expected bridge=NAME in it, or nic=NAME",
		    "vif: \"mac=00:16:3e:00:00:01\": expected a mac in the vifs before it too",
		    "vif: expected the script of each vif where one has its own" } },
		{ LEAST "vif='bridge=b'\ndisk='a'\ncpus=['0','1']\nacpi=0\n",
		  { "web.cfg:4: vif: expected a list in brackets",
		    "web.cfg:5: disk: expected a list in brackets",
		    "web.cfg:6: cpus: expected one text for all virtual CPUs",
		    "web.cfg:7: acpi: \"0\": jitsud can honour only 1" } },
		{ "name=['a']\nmemory=\"lots\"\nvcpus=0\nbuilder=\"x\"\n",
		  { "web.cfg:1: name: expected one value, not a list",
		    "web.cfg:2: memory: \"lots\": expected a number from 1 on",
		    "web.cfg:3: vcpus: \"0\": expected a number from 1 on",
		    "web.cfg:4: builder: \"x\": expected hvm or generic" } },
		{ "name=\"web\"\nvif=[\n", { "jitsuctl: add: web.cfg: " } },
		{ "name=\"web\nmemory=\"\n", { "jitsuctl: add: web.cfg: " } },
		{ "", { "jitsuctl: add: web.cfg: name: missing" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		write_file("web.cfg", rows[i].config);
		RUN("$J add --xl-cfg web.cfg dns=w.org,ip=10.0.0.1", 1);
		for (size_t k = 0; k < ARRAY_SIZE(rows[i].words) && rows[i].words[k]; k++)
			HAS(err, rows[i].words[k]);
		assert_string_equal(out, "");
	}
	RUN("$J --json list", 0);
	HAS(out, "\"services\":[]");
	RUN("$J add --xl-cfg none.cfg dns=w.org ip=10.0.0.1", 1);
	assert_string_equal(err, "jitsuctl: add: none.cfg: No such file or directory\n");
	RUN("printf 'name=\"a\\0\"' | $J add --xl-cfg - dns=w.org", 1);
	HAS(err, "expected text without zero bytes");
	RUN("$J add --xl-cfg web.cfg", 2);
	RUN("$J add --xl-cfg web.cfg other.json", 2);
	HAS(err, "expected KEY=VALUE pairs with --xl-cfg");
	RUN("$J list --xl-cfg web.cfg", 2);
}

/* Disks whose file is relative: what they become, and what libxlutil makes of that. */
static void disks(void **state)
{
	static const struct {
		const char *given, *path, *device;
	} rows[] = {
		{ "images/a.iso@xvda", NULL, NULL },
		{ "file:a.iso,xvda,w", "$D/a.iso", "xvda" },
		{ "a.iso,raw,xvda,r", "$D/a.iso", "xvda" },
		{ "./a.iso,,hda", "$D/a.iso", "hda" },
		{ "format=qcow2,vdev=xvdb,access=ro,target=b.qcow2", "$D/b.qcow2", "xvdb" },
		{ "tap:aio:a.img,xvda,w", "$D/a.img", "xvda" },
		{ "phy:vg/lv,xvda,w", "/dev/vg/lv", "xvda" },
		{ "phy:/dev/vg/lv,xvda,w", "/dev/vg/lv", "xvda" },
		{ ",,hdc,cdrom", "", "hdc" },
		{ "vdev=xvda,script=block-x,target=portal/1", "portal/1", "xvda" },
	};
	struct json_object *service = json_object_new_object(), *list = json_object_new_array();
	struct json_object *answer, *spec, *disk;
	XLU_Config *config = xlu_cfg_init(stderr, "test");

	(void)state;
	json_object_object_add(service, "name", json_object_new_string("web"));
	json_object_object_add(service, "dns", json_object_new_string("w.org"));
	json_object_object_add(service, "ip", json_object_new_string("10.0.0.1"));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		json_object_array_add(list, json_object_new_string(rows[i].given));
	json_object_object_add(service, "disk", list);
	write_file("web.json", json_object_to_json_string(service));
	json_object_put(service);
	RUN("$J --json add web.json", 0);
	answer = json_tokener_parse(out);
	assert_true(json_object_object_get_ex(answer, "spec", &spec) &&
		    json_object_object_get_ex(spec, "disk", &disk));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(disk, i));
		libxl_device_disk parsed;
		char expected[256];

		if (!rows[i].path) {
			snprintf(expected, sizeof expected, "%s/%s", directory, rows[i].given);
			assert_string_equal(text, expected);
			continue;
		}
		snprintf(expected, sizeof expected, "%s%s", rows[i].path[0] == '$' ? directory : "",
			 rows[i].path + (rows[i].path[0] == '$' ? 2 : 0));
		libxl_device_disk_init(&parsed);
		assert_int_equal(xlu_disk_parse(config, 1, &text, &parsed), 0);
		assert_string_equal(parsed.pdev_path ? parsed.pdev_path : "", expected);
		assert_string_equal(parsed.vdev, rows[i].device);
		libxl_device_disk_dispose(&parsed);
	}
	xlu_cfg_destroy(config);
	json_object_put(answer);
	RUN("$J remove web", 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sample),
		TEST(all_keys),
		TEST(refusals),
		TEST(disks),
	};

	log_open("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("xlcfg", tests, open_directory, remove_directory);
}
