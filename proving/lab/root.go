// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a host may see of the machine. Everything else is hidden: the lists name what is shown,
// so that a secret in a folder nobody thought of stays where it is.
var (
	shownTop = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "var"}
	shownVar = []string{"lib"}
	shownLib = []string{"dpkg", "php", "ucf", "systemd"} // of /var/lib
	shownUsr = []string{"bin", "sbin", "lib", "lib32", "lib64", "libexec", "share"}
	// copied from /etc; the rest of /etc does not exist in a host. No file that holds credentials
	// of the machine (shadow, ssh, apt, environment, npmrc…) may enter this list.
	copiedEtc = []string{"alternatives", "bash.bashrc", "debian_version", "dpkg", "host.conf", "init.d",
		"inputrc", "issue", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "login.defs",
		"logrotate.d", "magic", "mime.types", "mke2fs.conf", "nginx", "os-release", "pam.conf", "pam.d",
		"php", "profile", "protocols", "rpc", "security", "services", "shells", "skel", "terminfo",
		"timezone", "ucf.conf"}
	madeDirs = map[string]os.FileMode{
		"tmp": 0o777 | os.ModeSticky, "root": 0o700, "home": 0o755, "proc": 0o555, "sys": 0o555,
		"dev": 0o755, "run": 0o755, "mnt": 0o755, "opt": 0o755, "srv": 0o755, "usr/local": 0o755,
		"usr/local/bin": 0o755, "usr/local/sbin": 0o755, "var/log": 0o755, "var/tmp": 0o777 | os.ModeSticky,
		"var/www": 0o755, "var/cache": 0o755, "var/spool": 0o755, "var/backups": 0o755,
		"var/lib/nginx": 0o755, "etc/cron.d": 0o755, "etc/ssh": 0o755, "etc/systemd": 0o755,
		"etc/systemd/system": 0o755,
	}
)

// dropped capabilities: a host needs none of them once it is up, and each reaches the machine.
var dropped = []uintptr{unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_SYS_BOOT, unix.CAP_SYS_TIME,
	unix.CAP_MAC_ADMIN, unix.CAP_MAC_OVERRIDE, unix.CAP_SYSLOG, unix.CAP_WAKE_ALARM, unix.CAP_BPF,
	unix.CAP_PERFMON, unix.CAP_SYS_ADMIN, unix.CAP_MKNOD, unix.CAP_LINUX_IMMUTABLE}

func dropCapabilities() error {
	for _, capability := range dropped {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
	return nil
}

// enterRoot gives the calling thread a mount namespace whose root is a fresh overlay over the
// machine's root. All writes stay in a tmpfs that dies with the namespace.
func enterRoot(tag string, spec HostSpec, hosts []HostSpec) error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Sethostname([]byte(spec.Name)); err != nil {
		return fmt.Errorf("set the host's name: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// The folder is only covered in this namespace: the machine's /tmp is not touched.
	const work = "/tmp"
	if err := unix.Mount(tag, work, "tmpfs", 0, "size=2g,mode=0755"); err != nil {
		return fmt.Errorf("mount the host's tmpfs: %w", err)
	}
	upper, merged := work+"/upper", work+"/root"
	for _, dir := range []string{upper, work + "/work", merged} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := fillUpper(upper, spec, hosts); err != nil {
		return fmt.Errorf("fill the host's root: %w", err)
	}
	// index, nfs_export: without them fanotify refuses filesystem marks on overlay.
	options := "lowerdir=/,upperdir=" + upper + ",workdir=" + work + "/work,index=on,nfs_export=on,redirect_dir=on"
	if err := unix.Mount(tag, merged, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount overlay (%s): %w", options, err)
	}
	if err := mountDevices(tag, merged); err != nil {
		return err
	}
	if err := os.Mkdir(merged+"/mnt/old", 0o700); err != nil {
		return err
	}
	if err := unix.PivotRoot(merged, merged+"/mnt/old"); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/mnt/old", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let go of the machine's root: %w", err)
	}
	return os.Remove("/mnt/old")
}

func mountDevices(tag, root string) error {
	for dir, options := range map[string]string{"/dev": "mode=0755,size=1m", "/run": "mode=0755,size=64m"} {
		if err := unix.Mount(tag, root+dir, "tmpfs", unix.MS_NOSUID, options); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		if err := makeDevice(root+"/dev/"+name, 1, minor); err != nil {
			return err
		}
	}
	if err := makeDevice(root+"/dev/tty", 5, 0); err != nil {
		return err
	}
	links := map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
		"stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"}
	for name, to := range links {
		if err := os.Symlink(to, root+"/dev/"+name); err != nil {
			return err
		}
	}
	for _, dir := range []string{"pts", "shm"} {
		if err := os.Mkdir(root+"/dev/"+dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("devpts", root+"/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5"); err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	if err := unix.Mount(tag, root+"/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777,size=64m"); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	for _, dir := range []string{"lock", "sshd", "php"} {
		if err := os.Mkdir(root+"/run/"+dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func makeDevice(path string, major, minor uint32) error {
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(major, minor))); err != nil {
		return fmt.Errorf("make device %s: %w", path, err)
	}
	return os.Chmod(path, 0o666)
}

// fillUpper lays out the overlay's upper folder before it is mounted: what is hidden becomes an
// opaque folder or a whiteout. Removing after the mount instead costs 300,000 system calls.
func fillUpper(upper string, spec HostSpec, hosts []HostSpec) error {
	for _, level := range []struct {
		dir   string
		shown []string
	}{{"", shownTop}, {"var", shownVar}, {"var/lib", shownLib}, {"usr", shownUsr}} {
		if err := hide(upper, level.dir, level.shown); err != nil {
			return err
		}
	}
	if err := opaque(filepath.Join(upper, "etc")); err != nil {
		return err
	}
	for _, name := range copiedEtc {
		err := copyTree(filepath.Join("/etc", name), filepath.Join(upper, "etc", name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	dirs := make([]string, 0, len(madeDirs))
	for dir := range madeDirs {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	for _, dir := range dirs {
		path := filepath.Join(upper, dir)
		unix.Unlink(path) // a whiteout of a file or link of that name
		if err := opaque(path); err != nil {
			return err
		}
		if err := os.Chmod(path, madeDirs[dir]); err != nil {
			return err
		}
	}
	return writeIdentity(upper, spec, hosts)
}

// hide covers every entry of the machine's folder that is not shown.
func hide(upper, dir string, shown []string) error {
	entries, err := os.ReadDir("/" + dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(upper, dir), 0o755); err != nil {
		return err
	}
	for _, entry := range entries {
		if slices.Contains(shown, entry.Name()) {
			continue
		}
		path := filepath.Join(upper, dir, entry.Name())
		if entry.IsDir() {
			err = opaque(path)
		} else {
			err = unix.Mknod(path, unix.S_IFCHR, 0) // overlayfs.rst: a 0/0 device is a whiteout
		}
		if err != nil {
			return fmt.Errorf("hide /%s/%s: %w", dir, entry.Name(), err)
		}
	}
	return nil
}

func opaque(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if err := unix.Setxattr(path, "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		return fmt.Errorf("mark %s opaque: %w", path, err)
	}
	return nil
}

// copyTree copies files, folders and links with owner and mode.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(path, from)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir():
			err = os.MkdirAll(target, info.Mode().Perm())
		case info.Mode()&os.ModeSymlink != 0:
			link, linkErr := os.Readlink(path)
			if linkErr != nil {
				return linkErr
			}
			return os.Symlink(link, target)
		case info.Mode().IsRegular():
			err = copyFile(path, target, info.Mode().Perm())
		default:
			return nil
		}
		if err != nil {
			return err
		}
		owner := info.Sys().(*syscall.Stat_t)
		return os.Chown(target, int(owner.Uid), int(owner.Gid))
	})
}

func copyFile(from, to string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
