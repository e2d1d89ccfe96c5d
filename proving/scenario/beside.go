// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
)

// readFiles takes in what the scenario keeps in files beside it, and checks what it places on hosts.
func (p *parser) readFiles(s *Scenario) error {
	for i := range s.Files {
		f, line := &s.Files[i], p.line("files", i)
		if _, ok := s.Machines[f.Host]; !ok {
			return p.errorf(line, "file %q is for host %q, which is not in hosts", f.Path, f.Host)
		}
		if !path.IsAbs(f.Path) {
			return p.errorf(line, "file %q needs an absolute path", f.Path)
		}
		if _, err := strconv.ParseUint(cmp.Or(f.Mode, "644"), 8, 12); err != nil {
			return p.errorf(line, "file %q: mode %q is no octal number such as 0644; put it in quotes", f.Path, f.Mode)
		}
		if err := p.readBeside(f.From, &f.Text, line); err != nil {
			return err
		}
	}
	for i, step := range s.Steps {
		requests := []*HTTP{step.Do.HTTP}
		if step.Do.Shell != nil {
			requests = append(requests, step.Do.Shell.By)
		}
		for _, h := range requests {
			if h == nil || h.File == nil {
				continue
			}
			if err := p.readBeside(h.File.From, &h.File.Body, p.line("steps", i, "do")); err != nil {
				return err
			}
			h.File.Name = cmp.Or(h.File.Name, path.Base(h.File.From))
		}
	}
	return nil
}

// readBeside reads a file of the scenario's own folder; nothing outside it, whatever the name says.
func (p *parser) readBeside(name string, into *string, line int) error {
	if name == "" {
		return nil
	}
	root, err := os.OpenRoot(filepath.Dir(p.file))
	if err != nil {
		return p.errorf(line, "read %q beside the scenario: %v", name, err)
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxFile) {
		err = fmt.Errorf("it is no plain file of at most %d bytes", maxFile)
	}
	if err != nil {
		return p.errorf(line, "read %q beside the scenario: %v", name, err)
	}
	data, err := root.ReadFile(name)
	if err != nil {
		return p.errorf(line, "read %q beside the scenario: %v", name, err)
	}
	*into = string(data)
	return nil
}
