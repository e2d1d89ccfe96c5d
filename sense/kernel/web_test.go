// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall/event"
)

// lookAny finds the first program that is installed.
func lookAny(names ...string) string {
	for _, n := range names {
		if p, err := exec.LookPath(n); err == nil {
			return p
		}
	}
	return ""
}

// web runs nginx and PHP-FPM of our own on a free port, over the named FPM address.
func web(t testing.TB, tcp bool) (base, root string) {
	t.Helper()
	fpm, nginx := lookAny("php-fpm8.2", "php-fpm8.3", "php-fpm8.4", "php-fpm"), lookAny("nginx", "/usr/sbin/nginx")
	if fpm == "" || nginx == "" {
		t.Skip("needs nginx and php-fpm")
	}
	dir, err := os.MkdirTemp("/tmp", "ringwall-web-") // workers of another user must get in
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	root = filepath.Join(dir, "www")
	must(t, os.Mkdir(root, 0o755))
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	addr := l.Addr().String()
	l.Close()
	listen := filepath.Join(dir, "fpm.sock")
	pass := "unix:" + listen
	if tcp {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		must(t, err)
		listen = l.Addr().String()
		l.Close()
		pass = listen
	}
	fpmConf := fmt.Sprintf(`[global]
error_log = %[1]s/fpm.log
daemonize = no
[www]
user = www-data
group = www-data
listen = %[2]s
listen.mode = 0666
pm = static
pm.max_children = 4
`, dir, listen)
	nginxConf := fmt.Sprintf(`daemon off;
user www-data;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
worker_processes 2;
events { worker_connections 256; }
http {
 access_log off;
 client_body_temp_path %[1]s/body; fastcgi_temp_path %[1]s/fcgi; proxy_temp_path %[1]s/p; scgi_temp_path %[1]s/s; uwsgi_temp_path %[1]s/u;
 server {
  listen %[2]s; root %[3]s;
  location ~ \.php$ { include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name; fastcgi_pass %[4]s; }
 }
}
`, dir, addr, root, pass)
	must(t, os.WriteFile(filepath.Join(dir, "fpm.conf"), []byte(fpmConf), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(nginxConf), 0o644))
	for _, args := range [][]string{{fpm, "-y", filepath.Join(dir, "fpm.conf"), "-R"}, {nginx, "-c", filepath.Join(dir, "nginx.conf")}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		must(t, cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			done := time.AfterFunc(3*time.Second, func() { _ = cmd.Process.Kill() })
			_ = cmd.Wait()
			done.Stop()
		})
	}
	base = "http://" + addr
	must(t, os.WriteFile(filepath.Join(root, "up.php"), []byte(`ok`), 0o644))
	for range 100 {
		if res, err := http.Get(base + "/up.php"); err == nil {
			b, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if string(b) == "ok" {
				return base, root
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Skip("nginx and php-fpm do not come up here")
	return "", ""
}

// The whole chain of range.md §2: request at nginx, worker, command, response, by keys alone.
func TestNginxFPM(t *testing.T) {
	for _, mode := range []string{"unix", "tcp", "unix, legacy hooks"} {
		t.Run(mode, func(t *testing.T) {
			tcp := mode == "tcp"
			base, root := web(t, tcp)
			must(t, os.WriteFile(filepath.Join(root, "run.php"), []byte(`<?php http_response_code(203); usleep(rand(0,20000)); system("/bin/echo ".escapeshellarg($_GET["c"]));`), 0o644))
			_, rec := start(t, func(c *Config) { c.Legacy = strings.Contains(mode, "legacy") })
			const n = 24
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					c := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
					res, err := c.Get(fmt.Sprintf("%s/run.php?c=marker-%d", base, i))
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.ReadAll(res.Body)
					res.Body.Close()
					c.CloseIdleConnections()
				})
			}
			wg.Wait()
			right := 0
			for i := range n {
				right += chain(t, rec, fmt.Sprintf("marker-%d", i), root, tcp)
			}
			if right != n {
				t.Errorf("%d of %d commands tied to their request", right, n)
			}
		})
	}
}

// chain follows one command back to the request at nginx; 1 when every link is there.
func chain(t *testing.T, rec *recorder, marker, root string, tcp bool) int {
	t.Helper()
	cmd := rec.find(t, "command "+marker, func(e *event.Event) bool {
		p := e.GetProcess()
		return p.GetOp() == event.ProcessActivity_EXEC && slices.Equal(p.Argv, []string{"sh", "-c", "--", "/bin/echo '" + marker + "'"}) ||
			p.GetOp() == event.ProcessActivity_EXEC && slices.Equal(p.Argv, []string{"sh", "-c", "/bin/echo '" + marker + "'"})
	})
	worker := cmd.GetProcess().Parent.GetPid()
	isReq := func(seen event.HttpActivity_Seen) func(*event.Event) bool {
		return func(e *event.Event) bool {
			h := e.GetHttp()
			return h.GetOp() == event.HttpActivity_REQUEST && h.Seen == seen && strings.HasSuffix(h.Request.Uri, "c="+marker)
		}
	}
	atWorker := rec.find(t, "FastCGI request", isReq(event.HttpActivity_FASTCGI))
	atNginx := rec.find(t, "request at nginx", isReq(event.HttpActivity_SOCKET))
	if atWorker.Actor.Pid != worker || atWorker.BootNs > cmd.BootNs || atNginx.BootNs > atWorker.BootNs {
		t.Errorf("%s: worker %d read it, %d ran the command", marker, atWorker.Actor.Pid, worker)
		return 0
	}
	w, n := atWorker.GetHttp(), atNginx.GetHttp()
	if w.Script != filepath.Join(root, "run.php") || w.Request.Flow.CommunityID() != n.Request.Flow.CommunityID() || atNginx.Actor.Comm != "nginx" {
		t.Errorf("%s: %v and %v", marker, w, n)
		return 0
	}
	out := cmd.GetProcess().Fds[1]
	rec.find(t, "the worker reads the command's output", func(e *event.Event) bool {
		c := e.GetChannel()
		return c.GetOp() == event.ChannelActivity_PIPE_READ && c.InodeA == out.Inode && out.Type == event.Descriptor_PIPE && e.Actor.Pid == worker && c.PeerPid == cmd.Actor.Pid
	})
	if !tcp {
		pair := rec.find(t, "pair", func(e *event.Event) bool { return e.GetChannel() != nil && e.GetChannel().InodeA == w.Channel })
		if pair.GetChannel().PeerPid != atNginx.Actor.Pid {
			t.Errorf("%s: pair's peer %d, nginx worker %d", marker, pair.GetChannel().PeerPid, atNginx.Actor.Pid)
			return 0
		}
	}
	for _, seen := range []event.HttpActivity_Seen{event.HttpActivity_FASTCGI, event.HttpActivity_SOCKET} {
		res := rec.find(t, "response", func(e *event.Event) bool {
			h := e.GetHttp()
			return h.GetOp() == event.HttpActivity_RESPONSE && h.Seen == seen && strings.HasSuffix(h.Request.Uri, "c="+marker)
		})
		if res.GetHttp().Status != 203 || res.BootNs < cmd.BootNs {
			t.Errorf("%s: response %v", marker, res.GetHttp())
			return 0
		}
	}
	return 1
}

// An upload: the temporary file, the rename to the name that is requested later.
func TestUploadIsRenamed(t *testing.T) {
	base, root := web(t, false)
	must(t, os.Mkdir(filepath.Join(root, "up"), 0o777))
	must(t, os.Chmod(filepath.Join(root, "up"), 0o777))
	must(t, os.WriteFile(filepath.Join(root, "upload.php"), []byte(`<?php move_uploaded_file($_FILES["f"]["tmp_name"], "up/".$_FILES["f"]["name"]);`), 0o644))
	_, rec := start(t, nil)
	body := "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"page.php\"\r\nContent-Type: application/x-php\r\n\r\n<?php echo 1;\r\n--B--\r\n"
	res, err := http.Post(base+"/upload.php", "multipart/form-data; boundary=B", strings.NewReader(body))
	must(t, err)
	res.Body.Close()
	rename := rec.find(t, "rename", func(e *event.Event) bool {
		return e.GetFile().GetOp() == event.FileActivity_RENAME && e.GetFile().NewPath == filepath.Join(root, "up/page.php")
	})
	rec.find(t, "temporary file", func(e *event.Event) bool {
		return e.GetFile().GetOp() == event.FileActivity_OPEN_WRITE && e.GetFile().File.Path == rename.GetFile().File.Path && e.Actor.Pid == rename.Actor.Pid
	})
	req := rec.find(t, "upload at nginx", func(e *event.Event) bool {
		return e.GetHttp().GetOp() == event.HttpActivity_REQUEST && len(e.GetHttp().Uploads) == 1
	})
	if u := req.GetHttp().Uploads[0]; u.Filename != "page.php" || !slices.Contains(req.GetHttp().Tokens, "page.php") {
		t.Errorf("upload %v, tokens %q", u, req.GetHttp().Tokens)
	}
}
