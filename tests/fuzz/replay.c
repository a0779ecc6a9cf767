/* Feeds a harness each file that is named: for compilers without libFuzzer, and for findings. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned fed;

static void feed(const char *path)
{
	struct stat st;
	FILE *file = fopen(path, "re");
	uint8_t *data;
	size_t size;

	if (!file || fstat(fileno(file), &st) < 0) {
		perror(path);
		exit(2);
	}
	data = malloc(st.st_size ? (size_t)st.st_size : 1);
	size = fread(data, 1, (size_t)st.st_size, file);
	fclose(file);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	fed++;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		DIR *folder = opendir(argv[i]);
		struct dirent *entry;
		char path[4096];

		if (!folder) {
			feed(argv[i]);
			continue;
		}
		while ((entry = readdir(folder))) {
			snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
			if (entry->d_name[0] != '.')
				feed(path);
		}
		closedir(folder);
	}
	printf("%u inputs\n", fed);
	return fed ? 0 : 1;
}
