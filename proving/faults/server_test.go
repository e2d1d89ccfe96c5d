// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serverEnv names the folder of the small server's logs: access.log as nginx writes it,
// app.log as careless programs do.
const serverEnv = "RINGWALL_FAULTS_SERVER"

const serverAddr = "127.0.0.1:8099"

// serve answers every request, logs it with all it holds, and sets a cookie.
func serve(dir string) int {
	open := func(name string) *os.File {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return f
	}
	access, app := open("access.log"), open("app.log")
	err := http.ListenAndServe(serverAddr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(access, "%s - - [%s] \"%s %s HTTP/1.1\" 200 2 %q %q\n", host, time.Now().Format("02/Jan/2006:15:04:05 -0700"), r.Method, r.RequestURI, r.Referer(), r.UserAgent())
		if len(body) > 0 {
			fmt.Fprintf(app, "request %s: body %s\n", r.URL.Path, bytes.ReplaceAll(body, []byte("\n"), []byte(" ")))
		}
		w.Header().Set("Set-Cookie", r.Header.Get("X-Want-Cookie-Of-Form"))
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		}
		fmt.Fprintln(w, "ok")
	}))
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// namespace makes a network namespace with loopback up and gives its file.
func namespace(t *testing.T) (name, file string) {
	t.Helper()
	needRoot(t, "a network namespace for the traffic")
	name = fmt.Sprintf("rwfaults%d", os.Getpid())
	for _, argv := range [][]string{{"ip", "netns", "add", name}, {"ip", "-n", name, "link", "set", "lo", "up"}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s: %v: %s", strings.Join(argv, " "), err, out)
		}
		if argv[2] == "add" {
			t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
		}
	}
	return name, "/run/netns/" + name
}

// inside makes a command run in a network namespace.
func inside(name string, argv ...string) []string {
	return append([]string{"ip", "netns", "exec", name}, argv...)
}

// request is one HTTP/1.1 request as bytes, with the length of its body.
func request(line string, headers []string, body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s HTTP/1.1\r\nHost: shop.example\r\n", line)
	for _, h := range headers {
		fmt.Fprintf(&b, "%s\r\n", h)
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	fmt.Fprintf(&b, "\r\n%s", body)
	return b.String()
}

// clientEnv makes this binary a client: it sends what is on its standard input, requests
// divided by a zero byte, each on a connection of its own.
const clientEnv = "RINGWALL_FAULTS_CLIENT"

func client() int {
	all, err := io.ReadAll(os.Stdin)
	if err != nil {
		return 1
	}
	for _, q := range bytes.Split(all, []byte{0}) {
		c, err := net.DialTimeout("tcp", serverAddr, 5*time.Second)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		_, _ = c.Write(q)
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		_, _ = io.Copy(io.Discard, r.Body)
		c.Close()
	}
	return 0
}
