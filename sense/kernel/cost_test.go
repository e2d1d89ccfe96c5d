// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The deeds whose cost is measured. They are done by a child, because the sensor spares
// its own process; CPU time, not wall time, for the machine is shared.
var workloads = []struct {
	name string
	n    int
	do   func(n int) error
}{
	{"getppid", 2_000_000, func(n int) error {
		for range n {
			unix.Getppid()
		}
		return nil
	}},
	{"open+close (read)", 200_000, func(n int) error {
		for range n {
			fd, err := unix.Open("/etc/hostname", unix.O_RDONLY, 0)
			if err != nil {
				return err
			}
			unix.Close(fd)
		}
		return nil
	}},
	{"open+close (write)", 50_000, func(n int) error {
		f, err := os.CreateTemp("", "ringwall-cost-")
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		f.Close()
		for range n {
			fd, err := unix.Open(f.Name(), unix.O_WRONLY, 0)
			if err != nil {
				return err
			}
			unix.Close(fd)
		}
		return nil
	}},
	{"unix write+read 2 KB", 200_000, func(n int) error {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		b := make([]byte, 2048)
		for range n {
			if _, err := unix.Write(fds[0], b); err != nil {
				return err
			}
			if _, err := unix.Read(fds[1], b); err != nil {
				return err
			}
		}
		return nil
	}},
	{"request+answer, loopback", 20_000, func(n int) error {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return err
		}
		go func() {
			c, err := l.Accept()
			for b := make([]byte, 4096); err == nil; {
				if _, err = c.Read(b); err == nil {
					_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}
		}()
		c, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			return err
		}
		b := make([]byte, 4096)
		for i := range n {
			if _, err := fmt.Fprintf(c, "GET /item/%d?page=reports HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: cost/1\r\nAccept: */*\r\n\r\n", i); err != nil {
				return err
			}
			if _, err := c.Read(b); err != nil {
				return err
			}
		}
		return nil
	}},
	{"fork+exec+exit", 500, func(n int) error {
		for range n {
			if err := exec.Command("/bin/true", "-l", "/var/www/html").Run(); err != nil {
				return err
			}
		}
		return nil
	}},
}

func cpu(who int) int64 {
	var r unix.Rusage
	if unix.Getrusage(who, &r) != nil {
		return 0
	}
	return r.Utime.Nano() + r.Stime.Nano()
}

// TestCostWorker is the child: it does one workload and prints its CPU ns per deed.
func TestCostWorker(t *testing.T) {
	i, err := strconv.Atoi(os.Getenv("RINGWALL_COST_WORKLOAD"))
	if err != nil {
		t.Skip("run by TestCost")
	}
	w := workloads[i]
	before := cpu(unix.RUSAGE_SELF) + cpu(unix.RUSAGE_CHILDREN)
	must(t, w.do(w.n))
	fmt.Printf("cost %d\n", (cpu(unix.RUSAGE_SELF)+cpu(unix.RUSAGE_CHILDREN)-before)/int64(w.n))
}

func cost(t *testing.T, cgroup *os.File, i int) int64 {
	t.Helper()
	best := int64(-1)
	for range 3 { // noise only adds: take the least
		cmd := exec.Command(os.Args[0], "-test.run", "^TestCostWorker$", "-test.v")
		cmd.Env = append(os.Environ(), "RINGWALL_COST_WORKLOAD="+strconv.Itoa(i), "GOMAXPROCS=1")
		cmd.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cgroup.Fd())}
		out, err := cmd.Output()
		must(t, err)
		_, rest, _ := strings.Cut(string(out), "cost ")
		line, _, _ := strings.Cut(rest, "\n")
		v, err := strconv.ParseInt(line, 10, 64)
		must(t, err)
		if best < 0 || v < best {
			best = v
		}
	}
	return best
}

// TestCost prints CPU ns per deed, of the workload + of the sensor: RINGWALL_COST=1 go test -run TestCost$ -v
func TestCost(t *testing.T) {
	if os.Getenv("RINGWALL_COST") == "" {
		t.Skip("set RINGWALL_COST=1 to measure")
	}
	needRoot(t)
	configs := []struct {
		name   string
		change func(*Config)
	}{
		{"none", nil},
		{"set A", func(c *Config) { c.Syscalls = false }},
		{"sets A and B", func(*Config) {}},
		{"legacy hooks and B", func(c *Config) { c.Legacy = true }},
	}
	// The sensor watches the workloads' cgroup alone, or its CPU would be of the whole machine.
	folder := tempCgroup(t)
	cgroup, err := os.Open(folder)
	must(t, err)
	defer cgroup.Close()
	table := make([][]string, len(workloads))
	for _, c := range configs {
		t.Run(c.name, func(t *testing.T) {
			if c.change != nil {
				_, rec := start(t, func(cfg *Config) { cfg.Cgroup = folder; c.change(cfg) })
				rec.drop.Store(true)
			}
			for i, w := range workloads {
				self := cpu(unix.RUSAGE_SELF)
				v := cost(t, cgroup, i)
				own := (cpu(unix.RUSAGE_SELF) - self) / int64(3*w.n)
				table[i] = append(table[i], fmt.Sprintf("%d + %d", v, own))
			}
		})
	}
	for i, w := range workloads {
		t.Logf("| %s | %s |", w.name, strings.Join(table[i], " | "))
	}
}
