// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// daemon starts a program that goes to the background by itself.
func (h *Host) daemon(ctx context.Context, user string, argv ...string) error {
	// Output goes nowhere: a daemon that keeps our pipe open would never let us see its end.
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	_, err = h.Must(ctx, Command{Argv: argv, User: user, Stdout: null, Stderr: null})
	return err
}

// await asks a service of the host until the answer holds want.
func (h *Host) await(ctx context.Context, port int, ask, want string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		answer, err := h.ask(ctx, port, ask, want)
		if err == nil && strings.Contains(answer, want) {
			return nil
		}
		if last = err; err == nil {
			last = fmt.Errorf("it answered %.200q", answer)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("wait for port %d of host %s: %w", port, h.Name, errors.Join(ctx.Err(), last))
}

func (h *Host) ask(ctx context.Context, port int, ask, want string) (string, error) {
	conn, err := h.Dial(ctx, fmt.Sprintf("%s:%d", h.Addr, port))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(conn, ask); err != nil {
		return "", err
	}
	var answer strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(answer.String(), want) && answer.Len() < 1<<16 {
		n, err := conn.Read(buffer)
		answer.Write(buffer[:n])
		if err != nil {
			return answer.String(), nil
		}
	}
	return answer.String(), nil
}

// StartRedis starts a Redis that asks for a password, and puts a few keys into it.
func (h *Host) StartRedis(ctx context.Context, port int, password string) error {
	conf := fmt.Sprintf(`bind %s 127.0.0.1
port %d
requirepass %s
daemonize yes
pidfile /run/redis/redis.pid
logfile /var/log/redis/redis-server.log
dir /var/lib/redis
save ""
`, h.Addr, port, password)
	if err := h.WriteFile("/etc/redis/redis.conf", []byte(conf), 0o640, "redis"); err != nil {
		return err
	}
	err := h.within(func() error {
		uid, gid, err := lookUser("redis")
		if err != nil {
			return err
		}
		for _, dir := range []string{"/run/redis", "/var/log/redis", "/var/lib/redis"} {
			if err := os.MkdirAll(dir, 0o750); err != nil {
				return err
			}
			if err := os.Chown(dir, int(uid), int(gid)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("prepare Redis on host %s: %w", h.Name, err)
	}
	if err := h.daemon(ctx, "redis", "redis-server", "/etc/redis/redis.conf"); err != nil {
		return err
	}
	return h.await(ctx, port, "AUTH "+password+"\r\nMSET visits 41 orders 7 users 3\r\nDBSIZE\r\nQUIT\r\n", ":3")
}

// SSH says how the lab's hosts are administered.
type SSH struct {
	Port        int
	OpsPassword string
	Roles       []string // hosts with a server
	BackupFrom  string   // role whose root may store archives…
	BackupTo    string   // …as Archive on this one
}

// StartSSH gives the hosts keys, accounts and a syslog, and starts their servers. Every host knows
// every server's key.
func (l *Lab) StartSSH(ctx context.Context, s SSH) error {
	hash, err := l.Hosts()[0].Must(ctx, Command{Argv: []string{"openssl", "passwd", "-6", "-stdin"}, Stdin: strings.NewReader(s.OpsPassword + "\n")})
	if err != nil {
		return err
	}
	var known strings.Builder
	for _, role := range s.Roles {
		host := l.Host(role)
		public, private, err := newKey()
		if err != nil {
			return err
		}
		for _, name := range []string{host.Name, host.Addr.String()} {
			if s.Port != 22 {
				name = fmt.Sprintf("[%s]:%d", name, s.Port)
			}
			known.WriteString(name + " " + public)
		}
		if err := host.prepareSSH(s, private, strings.TrimSpace(hash.Stdout)); err != nil {
			return err
		}
	}
	for _, host := range l.Hosts() {
		if err := host.WriteFile("/etc/ssh/ssh_known_hosts", []byte(known.String()), 0o644, ""); err != nil {
			return err
		}
	}
	if s.BackupTo != "" {
		public, private, err := newKey()
		if err != nil {
			return err
		}
		if err := l.Host(s.BackupFrom).WriteFile("/root/.ssh/id_ed25519", private, 0o600, ""); err != nil {
			return err
		}
		if err := l.Host(s.BackupTo).WriteFile(Archive.Home+"/.ssh/authorized_keys", []byte(public), 0o644, Archive.Name); err != nil {
			return err
		}
	}
	for _, role := range s.Roles {
		host := l.Host(role)
		if err := host.daemon(ctx, "", "/usr/sbin/sshd"); err != nil {
			return err
		}
		if err := host.await(ctx, s.Port, "", "SSH-2.0"); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) prepareSSH(s SSH, key []byte, opsHash string) error {
	conf := fmt.Sprintf(`Port %d
ListenAddress %s
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
UsePAM no
UseDNS no
PasswordAuthentication yes
KbdInteractiveAuthentication no
PermitRootLogin no
SyslogFacility AUTH
`, s.Port, h.Addr)
	if err := h.WriteFile("/etc/ssh/ssh_host_ed25519_key", key, 0o600, ""); err != nil {
		return err
	}
	if err := h.WriteFile("/etc/ssh/sshd_config", []byte(conf), 0o644, ""); err != nil {
		return err
	}
	shadow, err := h.ReadFile("/etc/shadow")
	if err != nil {
		return err
	}
	text := strings.Replace(string(shadow), "\n"+Ops.Name+":*:", "\n"+Ops.Name+":"+opsHash+":", 1)
	if err := h.WriteFile("/etc/shadow", []byte(text), 0o640, ""); err != nil {
		return err
	}
	return h.startSyslog()
}

// newKey makes an Ed25519 key: the public line of authorized_keys and the private file.
func newKey() (public string, private []byte, err error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return "", nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return "", nil, err
	}
	return string(ssh.MarshalAuthorizedKey(signer.PublicKey())), pem.EncodeToMemory(block), nil
}

// startSyslog serves the host's /dev/log as a syslog daemon does, into /var/log/auth.log.
func (h *Host) startSyslog() error {
	var file *os.File
	var conn net.PacketConn
	err := h.within(func() error {
		var err error
		if file, err = os.OpenFile("/var/log/auth.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640); err != nil {
			return err
		}
		if conn, err = net.ListenPacket("unixgram", "/dev/log"); err != nil {
			return err
		}
		return os.Chmod("/dev/log", 0o666)
	})
	if err != nil {
		return fmt.Errorf("start the syslog of host %s: %w", h.Name, err)
	}
	h.closers = append(h.closers, conn, file)
	go func() {
		message := make([]byte, 8192)
		for {
			n, _, err := conn.ReadFrom(message)
			if err != nil {
				return
			}
			file.WriteString(syslogLine(string(message[:n]), h.Name))
		}
	}()
	return nil
}

// syslogLine turns a message of syslog(3), "<38>Nov 24 07:51:29 sshd[9]: text", into the line of
// a log file: priority off, host name in (RFC 3164 section 4.1.2).
func syslogLine(message, host string) string {
	message = strings.TrimRight(message, "\n\x00")
	if strings.HasPrefix(message, "<") {
		if _, rest, ok := strings.Cut(message, ">"); ok {
			message = rest
		}
	}
	const stamp = len(time.Stamp)
	if len(message) > stamp {
		if _, err := time.Parse(time.Stamp, message[:stamp]); err == nil {
			return message[:stamp] + " " + host + message[stamp:] + "\n"
		}
	}
	return time.Now().Format(time.Stamp) + " " + host + " " + message + "\n"
}

// AwaitListening waits until some process of the host listens on the TCP port, without connecting
// to it.
func (h *Host) AwaitListening(ctx context.Context, port int) error {
	want := fmt.Sprintf(":%04X ", port)
	for {
		var table []byte
		err := h.OnNetwork(func() (err error) {
			table, err = os.ReadFile("/proc/thread-self/net/tcp")
			return err
		})
		if err != nil {
			return fmt.Errorf("read the sockets of host %s: %w", h.Name, err)
		}
		for line := range strings.Lines(string(table)) {
			// proc_net_tcp: "sl local_address rem_address st"; 0A is LISTEN.
			f := strings.Fields(line)
			if len(f) > 3 && f[3] == "0A" && strings.Contains(f[1]+" ", want) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for a listener on port %d of host %s: %w", port, h.Name, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
