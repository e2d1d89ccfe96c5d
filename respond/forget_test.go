// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall/action"
	"github.com/ringwall/ringwall/respond/process"
	"github.com/ringwall/ringwall/respond/testnet"
)

// ask sends one FastCGI request, as nginx does, from the host's namespace or (n nil)
// from another, and gives the answer.
func ask(n *testnet.Net, socket, script string) (string, error) {
	var c net.Conn
	dial := func() (err error) {
		c, err = net.Dial("unix", socket)
		return err
	}
	err := error(nil)
	if n != nil {
		err = n.Do(dial)
	} else {
		err = dial()
	}
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	record := func(typ byte, body []byte) []byte {
		b := []byte{1, typ, 0, 1, 0, 0, 0, 0}
		binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
		return append(b, body...)
	}
	var params []byte
	for k, v := range map[string]string{"SCRIPT_FILENAME": script, "REQUEST_METHOD": "GET", "REQUEST_URI": "/", "SERVER_PROTOCOL": "HTTP/1.1"} {
		params = append(append(append(params, byte(len(k)), byte(len(v))), k...), v...)
	}
	msg := append(record(1, []byte{0, 1, 0, 0, 0, 0, 0, 0}), record(4, params)...)
	msg = append(append(msg, record(4, nil)...), record(5, nil)...)
	if _, err := c.Write(msg); err != nil {
		return "", err
	}
	var out strings.Builder
	for {
		var h [8]byte
		if _, err := io.ReadFull(c, h[:]); err != nil {
			return out.String(), fmt.Errorf("cut off: %w", err)
		}
		body := make([]byte, int(binary.BigEndian.Uint16(h[4:]))+int(h[6]))
		if _, err := io.ReadFull(c, body); err != nil {
			return out.String(), err
		}
		if h[1] == 6 {
			out.Write(body[:binary.BigEndian.Uint16(h[4:])])
		}
		if h[1] == 3 {
			return out.String(), nil
		}
	}
}

// TestInterpreterForgets: a real php-fpm with OPcache that would run the page for an
// hour more does not, and no ordinary request fails, long ones included.
func TestInterpreterForgets(t *testing.T) {
	fpm := "/usr/sbin/php-fpm8.2"
	if _, err := os.Stat(fpm); err != nil {
		t.Skip(fpm + " is missing; install php8.2-fpm")
	}
	for _, c := range []struct {
		timeout string
		inside  bool // the clients are in the host's network namespace
	}{{"0", true}, {"0", false}, {"10s", true}} {
		t.Run(fmt.Sprintf("process_control_timeout=%s,inside=%v", c.timeout, c.inside), func(t *testing.T) {
			b := newBench(t, nil)
			var from *testnet.Net
			if c.inside {
				from = b.host
			}
			dir, err := os.MkdirTemp("", "fpm") // short: a socket's path has 108 bytes
			must(t, err)
			t.Cleanup(func() { os.RemoveAll(dir) })
			socket, conf := filepath.Join(dir, "s"), filepath.Join(dir, "conf")
			must(t, os.WriteFile(conf, []byte(fmt.Sprintf(`[global]
error_log = %[1]s/log
daemonize = no
process_control_timeout = %[2]s
[www]
user = root
group = root
listen = %[1]s/s
pm = static
pm.max_children = 3
php_admin_value[opcache.enable] = 1
php_admin_value[opcache.revalidate_freq] = 3600
php_admin_value[opcache.file_update_protection] = 0
`, dir, c.timeout)), 0o600))
			must(t, os.WriteFile(b.root+"/var/www/html/index.php", []byte("<?php usleep(rand(0, 60) == 0 ? 150000 : 2000); echo 'fine';"), 0o644))
			must(t, os.WriteFile(b.root+page, []byte("<?php echo 'owned';"), 0o644))
			// What the enforcer reads of the configuration lies below the host's root.
			must(t, os.MkdirAll(b.root+dir, 0o755))
			text, _ := os.ReadFile(conf)
			must(t, os.WriteFile(b.root+conf, text, 0o600))
			master := b.host.Start(exec.Command(fpm, "-F", "-R", "-y", conf))
			t.Cleanup(func() { // its workers would go on without it, and without them it makes new ones
				if st, err := process.Read(master.Process.Pid); err == nil {
					_, err := process.Kill(context.Background(), st.PID, st.Start, process.Options{})
					must(t, err)
				}
			})
			for range 3 {
				eventually(t, "php-fpm does not answer", func() bool {
					s, err := ask(from, socket, b.root+page)
					return err == nil && strings.Contains(s, "owned")
				})
			}
			if !cachesCode(master.Process.Pid) {
				t.Skip("OPcache is missing; install php8.2-opcache")
			}
			var stop atomic.Bool
			var sent, failed atomic.Int64
			var clients sync.WaitGroup
			for range 2 {
				clients.Go(func() {
					for !stop.Load() {
						if s, err := ask(from, socket, b.root+"/var/www/html/index.php"); err != nil || !strings.Contains(s, "fine") {
							failed.Add(1)
							t.Logf("request failed: %v %q", err, s)
						}
						sent.Add(1)
						time.Sleep(15 * time.Millisecond)
					}
				})
			}
			for i := range 3 {
				rec := b.want(order(action.QuarantineFile, file(page)), action.Verified, "made to forget")
				eventually(t, "it is run on", func() bool {
					s, err := ask(from, socket, b.root+page)
					return err == nil && !strings.Contains(s, "owned")
				})
				b.undo(rec.ID)
				if i < 2 {
					eventually(t, "it does not run after the undo", func() bool {
						s, err := ask(from, socket, b.root+page)
						return err == nil && strings.Contains(s, "owned")
					})
				}
			}
			time.Sleep(200 * time.Millisecond)
			stop.Store(true)
			clients.Wait()
			t.Logf("%d ordinary requests, %d failed", sent.Load(), failed.Load())
			if sent.Load() == 0 || failed.Load() > 0 {
				t.Errorf("%d of %d ordinary requests failed", failed.Load(), sent.Load())
			}
		})
	}
}
