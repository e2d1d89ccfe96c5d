// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// Build compiles what goes into a guest from the module at root and writes dir/image.
// With own, sense/kernel's tests run in the guest too, with ownArgs. Needs go and
// busybox-static; tells which servers of this machine were taken along.
func Build(root, dir string, own bool, ownArgs ...string) (image string, have []string, err error) {
	builds := [][]string{
		{"build", "-trimpath", "-o", filepath.Join(dir, "inside"), "./proving/guest/inside"},
		{"build", "-trimpath", "-o", filepath.Join(dir, "ringwall-agent"), "./cmd/ringwall-agent"},
	}
	if own {
		builds = append(builds, []string{"test", "-c", "-trimpath", "-o", filepath.Join(dir, "kernel.test"), "./sense/kernel"})
	}
	for _, args := range builds {
		cmd := exec.Command("go", args...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", nil, fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	image = filepath.Join(dir, "image")
	im, err := NewImage(image)
	if err != nil {
		return "", nil, err
	}
	have, err = im.fill(root, dir, own, ownArgs)
	return image, have, errors.Join(err, im.Close())
}

// applets are the names under which busybox stands in the guest.
var applets = []string{"sh", "echo", "cat", "cp", "mv", "ln", "chmod", "rm", "mkdir", "mount", "umount", "unshare", "true", "false", "sleep", "touch", "id", "ls", "seq", "dd"}

func (im *Image) fill(root, dir string, own bool, ownArgs []string) (have []string, err error) {
	for _, l := range []string{"bin", "sbin", "lib", "lib64"} {
		im.Dir("usr/" + l)
		im.Link(l, "usr/"+l)
	}
	for _, d := range []string{"dev", "proc", "sys", "run", "root", "var/log/nginx", "var/lib/nginx"} {
		im.Dir(d)
	}
	for _, c := range [][2]string{
		{filepath.Join(dir, "inside"), "init"}, {filepath.Join(dir, "ringwall-agent"), "ringwall-agent"}, {"/bin/busybox", "bin/busybox"},
	} {
		if err := im.Copy(c[0], c[1]); err != nil {
			return nil, fmt.Errorf("%w (needs busybox-static)", err)
		}
	}
	im.File("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"))
	im.File("etc/group", 0o644, []byte("root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n"))
	im.File("etc/hosts", 0o644, []byte("127.0.0.1 localhost\n::1 localhost\n"))
	im.File("etc/shadow", 0o600, []byte("root:*:19000:0:99999:7:::\n"))
	im.File("www/cgi-bin/run", 0o755, []byte("#!/bin/sh\n"+Deed("$QUERY_STRING")+"\nprintf 'Content-Type: text/plain\\r\\n\\r\\nok\\n'\n"))
	if own {
		if err := im.Copy(filepath.Join(dir, "kernel.test"), "kernel.test"); err != nil {
			return nil, err
		}
		im.File("kernel.args", 0o644, []byte(strings.Join(ownArgs, " ")))
		im.Dir("pkg")
		if err := im.testdata(filepath.Join(root, "sense/kernel/testdata"), "pkg/testdata"); err != nil {
			return nil, err
		}
		if have, err = im.Servers(); err != nil {
			return have, err
		}
	}
	for _, a := range applets {
		im.Link(path.Join("bin", a), "busybox")
	}
	return have, nil
}

// testdata copies a folder of test cases to another place; none is fine.
func (im *Image) testdata(from, to string) error {
	names, _ := filepath.Glob(from + "/*") // the pattern is well formed
	for _, n := range names {
		if fi, err := os.Stat(n); err != nil || !fi.Mode().IsRegular() {
			continue
		}
		if err := im.Copy(n, path.Join(to, filepath.Base(n))); err != nil {
			return err
		}
	}
	return nil
}
