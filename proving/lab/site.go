// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"text/template"
)

//go:embed site/*.php
var pages embed.FS

// Site is the weak notes board of the web host. Names are without a leading slash and, where
// they are pages, without the ending.
type Site struct {
	Title      string
	Port       int    // where nginx listens
	Root       string // web root, absolute
	NotesPage  string // with .php
	UploadPage string // with .php
	UploadDir  string // below Root
	StatusPage string // with .php; answers to Admin only
	Admin      string // address that may see the status page
	ConfigPath string // ini file with the data host's credentials, absolute
	DataHost   string
	DataPort   int
	Password   string // of the data host's Redis
	Seed       uint64 // of pictures and style
}

// UploadField is the form field of the upload page.
const UploadField = "note"

// Asset is a static file of the site: its URL path and its bytes.
type Asset struct {
	Path string
	Body []byte
}

// Assets generates the static files; the same seed gives the same bytes.
func (s Site) Assets() []Asset {
	random := rand.New(rand.NewPCG(s.Seed, 1))
	assets := []Asset{
		{"/css/site.css", generatedText(random, ".c%d { margin: %dpx; color: #%06x }\n", 160)},
		{"/js/site.js", generatedText(random, "// %d\nwindow.v%d = %d;\n", 120)},
	}
	for _, name := range []string{"banner", "map"} {
		assets = append(assets, Asset{"/img/" + name + ".png", picture(random, 96, 48)})
	}
	return assets
}

func generatedText(random *rand.Rand, line string, lines int) []byte {
	var text bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&text, line, i, random.IntN(64), random.IntN(1<<24))
	}
	return text.Bytes()
}

func picture(random *rand.Rand, width, height int) []byte {
	img := image.NewGray(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = color.Gray{Y: uint8(random.IntN(256))}.Y
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		panic(err) // a bytes.Buffer does not fail
	}
	return out.Bytes()
}

// install writes the site's files into the host.
func (s Site) install(h *Host) error {
	files := map[string]string{
		"index.php": "index.php", "inc/page.php": "page.php", s.NotesPage: "notes.php",
		s.UploadPage: "upload.php", s.StatusPage: "status.php",
	}
	for target, source := range files {
		body, err := s.render("site/" + source)
		if err != nil {
			return err
		}
		if err := h.WriteFile(path.Join(s.Root, target), body, 0o644, ""); err != nil {
			return err
		}
	}
	for _, asset := range s.Assets() {
		if err := h.WriteFile(path.Join(s.Root, asset.Path), asset.Body, 0o644, ""); err != nil {
			return err
		}
	}
	for i, text := range []string{"Milk, bread, two onions.", "The train leaves at ten past nine.", "Ring the plumber."} {
		name := fmt.Sprintf("%s/%s/first-%d.txt", s.Root, s.UploadDir, i)
		if err := h.WriteFile(name, []byte(text+"\n"), 0o644, "www-data"); err != nil {
			return err
		}
	}
	ini := fmt.Sprintf("[redis]\nhost = %s\nport = %d\npassword = \"%s\"\n", s.DataHost, s.DataPort, s.Password)
	return h.WriteFile(s.ConfigPath, []byte(ini), 0o644, "")
}

func (s Site) render(name string) ([]byte, error) {
	source, err := pages.ReadFile(name)
	if err != nil {
		return nil, err
	}
	page, err := template.New(name).Option("missingkey=error").Parse(string(source))
	if err != nil {
		return nil, fmt.Errorf("page %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := page.Execute(&out, s); err != nil {
		return nil, fmt.Errorf("page %s: %w", name, err)
	}
	return out.Bytes(), nil
}

const nginxConf = `user www-data;
worker_processes 2;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events { worker_connections 512; }
http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  access_log /var/log/nginx/access.log;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 65;
  keepalive_requests 10000;
  client_max_body_size 4m;
  server_tokens off;
  server {
    listen PORT default_server;
    server_name _;
    root ROOT;
    index index.php;
    location / { try_files $uri $uri/ =404; }
    location ^~ /inc/ { deny all; }
    location ~ \.ini$ { deny all; }
    location = /STATUS { allow ADMIN; deny all; include /etc/nginx/fastcgi.conf; fastcgi_pass unix:/run/php/fpm.sock; }
    location ~ \.php$ { try_files $uri =404; include /etc/nginx/fastcgi.conf; fastcgi_pass unix:/run/php/fpm.sock; }
  }
}
`

const fpmConf = `[global]
pid = /run/php/fpm.pid
error_log = /var/log/php-fpm.log
daemonize = yes
[www]
user = www-data
group = www-data
listen = /run/php/fpm.sock
listen.owner = www-data
listen.group = www-data
pm = static
pm.max_children = 4
catch_workers_output = yes
security.limit_extensions = .php
`

// StartWeb installs the site and starts PHP-FPM and nginx; it returns when the first page answers.
func (h *Host) StartWeb(ctx context.Context, s Site) error {
	if err := s.install(h); err != nil {
		return err
	}
	conf := strings.NewReplacer("PORT", fmt.Sprint(s.Port), "ROOT", s.Root, "STATUS", s.StatusPage, "ADMIN", s.Admin).Replace(nginxConf)
	for name, text := range map[string]string{"/etc/nginx/nginx.conf": conf, "/etc/php/8.2/fpm/php-fpm.conf": fpmConf} {
		if err := h.WriteFile(name, []byte(text), 0o644, ""); err != nil {
			return err
		}
	}
	err := h.within(func() error {
		for _, dir := range []string{"/var/log/nginx", "/var/lib/nginx", "/run/php"} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		uid, gid, err := lookUser("www-data")
		if err != nil {
			return err
		}
		uploads := path.Join(s.Root, s.UploadDir)
		if err := os.Chown(uploads, int(uid), int(gid)); err != nil {
			return err
		}
		// Weak on purpose, as in range.md: the web server's group may plant cron entries.
		if err := os.Chown("/etc/cron.d", 0, int(gid)); err != nil {
			return err
		}
		return os.Chmod("/etc/cron.d", 0o775)
	})
	if err != nil {
		return fmt.Errorf("prepare the web host: %w", err)
	}
	for _, argv := range [][]string{{"php-fpm8.2"}, {"nginx"}} {
		if err := h.daemon(ctx, "", argv...); err != nil {
			return err
		}
	}
	return h.await(ctx, s.Port, "GET /"+s.NotesPage+" HTTP/1.0\r\n\r\n", "<!-- end of page -->")
}
