// SPDX-License-Identifier: Apache-2.0

package play

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/ringwall/ringwall/proving/lab"
)

// job runs a script on the web host as cron would, and counts it as one deed.
func (w *worker) job(ctx context.Context, user, script string) error {
	_, err := w.world.Lab.Host("web").Must(ctx, lab.Shell(user, script))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return w.deed(err)
}

// backup sends the site to the data host by tar over ssh, with the job's own key.
func backup(ctx context.Context, w *worker) error {
	site := w.world.Site
	return w.job(ctx, "", fmt.Sprintf("tar -C / -czf - %s etc/nginx %s | ssh -p %d -o BatchMode=yes %s@%s 'cat > site-%d.tar.gz && tar -tzf site-%d.tar.gz > site.list'",
		strings.TrimPrefix(site.Root, "/"), strings.TrimPrefix(site.ConfigPath, "/"), w.world.SSH.Port,
		lab.Archive.Name, site.DataHost, w.turn%3, w.turn%3))
}

// deploy puts a new version of a page in place by write and rename, and reloads nginx.
func deploy(ctx context.Context, w *worker) error {
	page := w.world.Site.Root + "/index.php"
	return w.job(ctx, "", fmt.Sprintf(`set -e
sed 's|<p>A board for short notes.*|<p>A board for short notes. Release %d.</p>|' %s > %s.new
chmod 644 %s.new
mv %s.new %s
nginx -t -q
nginx -s reload`, w.turn, page, page, page, page, page))
}

// adminSession is a login with a wrong password, then the right one, and some commands.
func adminSession(ctx context.Context, w *worker) error {
	host := w.world.Lab.Host("client1")
	login := []string{"sshpass", "-e", "ssh", "-tt", "-p", fmt.Sprint(w.world.SSH.Port), lab.Ops.Name + "@" + w.world.Scenario.Machines["web"].Name}
	wrong, err := host.Run(ctx, lab.Command{Argv: login, User: lab.Ops.Name, Env: []string{"SSHPASS=fake-mistyped"}})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && wrong.Code == 0 {
		err = fmt.Errorf("a wrong password was taken")
	}
	if err != nil {
		return w.deed(err)
	}
	commands := "uptime\ndf -h /\nls -l /var/log\ntail -n 3 /var/log/nginx/access.log\nps -e | wc -l\necho all-$((40+2))\nexit\n"
	right, err := host.Run(ctx, lab.Command{Argv: login, User: lab.Ops.Name,
		Env: []string{"SSHPASS=" + w.world.SSH.OpsPassword}, Stdin: strings.NewReader(commands)})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && !strings.Contains(right.Stdout, "all-42") {
		err = fmt.Errorf("the session of %s was cut or refused: code %d: %.300q %.300q", lab.Ops.Name, right.Code, right.Stdout, right.Stderr)
	}
	return w.deed(err)
}

// monitoring polls the site from outside and looks at the host from inside.
func monitoring(ctx context.Context, w *worker) error {
	if err := w.fetch(ctx, "client2", []wanted{{path: "/" + w.world.Site.NotesPage, holds: endOfPage}}); err != nil {
		return err
	}
	return w.job(ctx, lab.Monitor.Name, "ss -tln; ps aux; df -h /; cat /proc/loadavg")
}

// rotateLogs is logrotate's work: rename, USR1, compress.
func rotateLogs(ctx context.Context, w *worker) error {
	return w.job(ctx, "", `set -e
cd /var/log/nginx
for log in access error; do rm -f $log.log.2.gz; if [ -e $log.log.1 ]; then gzip -c $log.log.1 > $log.log.2.gz; fi; mv $log.log $log.log.1; done
kill -USR1 $(cat /run/nginx.pid)`)
}

// packageVersions that the upgrade goes to and fro between.
var packageVersions = []string{"1.0", "1.1"}

const archives = "/var/cache/apt/archives/"

// packageUpgrade installs the other version of a package whose postinst works.
func packageUpgrade(ctx context.Context, w *worker) error {
	version := packageVersions[w.turn%len(packageVersions)]
	return w.job(ctx, "", fmt.Sprintf("DEBIAN_FRONTEND=noninteractive dpkg --force-downgrade -i %ssite-tools_%s_all.deb", archives, version))
}

// prepare lays out the scenario's own files and what benign plays need, before anything watches.
func (w *World) prepare(ctx context.Context) error {
	for _, f := range w.Scenario.Files {
		if err := w.Lab.Host(f.Host).WriteFile(f.Path, []byte(f.Text), f.Perm(), f.Owner); err != nil {
			return fmt.Errorf("%s: place %s on host %s: %w", w.Scenario.File, f.Path, f.Host, err)
		}
	}
	for _, b := range w.Scenario.Background {
		if b.Play == "package-upgrade" {
			return w.buildPackages(ctx)
		}
	}
	return nil
}

// buildPackages makes two versions of a tiny package on the administrator's workstation and puts
// them where apt would have downloaded them.
func (w *World) buildPackages(ctx context.Context) error {
	builder, web := w.Lab.Host("client1"), w.Lab.Host("web")
	for _, version := range packageVersions {
		files := map[string]string{
			"DEBIAN/control": "Package: site-tools\nVersion: " + version + "\nArchitecture: all\nMaintainer: Range <range@localhost>\nDescription: small tools of the site\n",
			"DEBIAN/postinst": "#!/bin/sh\nset -e\nif [ \"$1\" = configure ]; then\n  mkdir -p /var/lib/site-tools\n" +
				"  date +%s > /var/lib/site-tools/configured\n  id www-data > /dev/null\n  chmod 755 /usr/sbin/site-tidy\nfi\n",
			"usr/sbin/site-tidy":                     "#!/bin/sh\n# version " + version + "\nexec find /tmp -name 'php*' -mmin +60 -delete\n",
			"etc/cron.d/site-tools":                  "# version " + version + "\n17 3 * * * root /usr/sbin/site-tidy\n",
			"lib/systemd/system/site-tidy.service":   "[Unit]\nDescription=Tidy (" + version + ")\n[Service]\nType=oneshot\nExecStart=/usr/sbin/site-tidy\n",
			"usr/share/doc/site-tools/changelog.txt": "site-tools " + version + "\n",
		}
		dir := "/tmp/site-tools-" + version
		for name, text := range files {
			mode := os.FileMode(0o644)
			if strings.Contains(name, "bin/") || strings.HasSuffix(name, "postinst") {
				mode = 0o755
			}
			if err := builder.WriteFile(dir+"/"+name, []byte(text), mode, ""); err != nil {
				return err
			}
		}
		if _, err := builder.Must(ctx, lab.Command{Argv: []string{"dpkg-deb", "--root-owner-group", "-b", dir, dir + ".deb"}}); err != nil {
			return fmt.Errorf("build a package: %w", err)
		}
		deb, err := builder.ReadFile(dir + ".deb")
		if err != nil {
			return err
		}
		if err := web.WriteFile(archives+"site-tools_"+version+"_all.deb", deb, 0o644, ""); err != nil {
			return err
		}
	}
	return nil
}
