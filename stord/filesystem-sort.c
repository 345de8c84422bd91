/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be expected of a filesystem, by the number that statfs() tells of it. Numbers, as the kernel's headers
 * lack some. */
#include "stord/filesystem.h"

enum filesystem_sort filesystem_sort(const struct statfs *fs)
{
	static const struct {
		unsigned long type;
		enum filesystem_sort sort;
	} sorts[] = {
		{0xef53 /* ext4 */, FILESYSTEM_LASTING},          {0x58465342 /* xfs */, FILESYSTEM_LASTING},
		{0x9123683e /* btrfs */, FILESYSTEM_LASTING},     {0xf2f52010 /* f2fs */, FILESYSTEM_LASTING},
		{0x2fc12fc1 /* zfs */, FILESYSTEM_LASTING},       {0x6969 /* nfs */, FILESYSTEM_REMOTE},
		{0xff534d42 /* cifs */, FILESYSTEM_REMOTE},       {0xfe534d42 /* smb2 */, FILESYSTEM_REMOTE},
		{0x65735546 /* fuse */, FILESYSTEM_REMOTE},       {0x00c36400 /* ceph */, FILESYSTEM_REMOTE},
		{0x01021997 /* 9p */, FILESYSTEM_REMOTE},         {0x01161970 /* gfs2 */, FILESYSTEM_REMOTE},
		{0x7461636f /* ocfs2 */, FILESYSTEM_REMOTE},      {0x9fa0 /* proc */, FILESYSTEM_PSEUDO},
		{0x62656572 /* sysfs */, FILESYSTEM_PSEUDO},      {0x27e0eb /* cgroup */, FILESYSTEM_PSEUDO},
		{0x63677270 /* cgroup2 */, FILESYSTEM_PSEUDO},    {0x64626720 /* debugfs */, FILESYSTEM_PSEUDO},
		{0x74726163 /* tracefs */, FILESYSTEM_PSEUDO},    {0x73636673 /* security */, FILESYSTEM_PSEUDO},
		{0xcafe4a11 /* bpf */, FILESYSTEM_PSEUDO},        {0x1cd1 /* devpts */, FILESYSTEM_PSEUDO},
		{0x62656570 /* configfs */, FILESYSTEM_PSEUDO},   {0x6165676c /* pstore */, FILESYSTEM_PSEUDO},
		{0xde5e81e4 /* efivarfs */, FILESYSTEM_PSEUDO},   {0x958458f6 /* huge */, FILESYSTEM_PSEUDO},
		{0x42494e4d /* binfmt */, FILESYSTEM_PSEUDO},     {0x19800202 /* mqueue */, FILESYSTEM_PSEUDO},
		{0xf97cff8c /* selinux */, FILESYSTEM_PSEUDO},    {0x6e736673 /* nsfs */, FILESYSTEM_PSEUDO},
		{0x67596969 /* rpc_pipefs */, FILESYSTEM_PSEUDO},
	};
	for (size_t i = 0; i < ARRAY_SIZE(sorts); i++)
		if ((unsigned long)fs->f_type == sorts[i].type)
			return sorts[i].sort;
	return FILESYSTEM_OTHER;
}
