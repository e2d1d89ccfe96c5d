// SPDX-License-Identifier: Apache-2.0

package play

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/proving/lab"
)

// browser is the User-Agent of ordinary people.
const browser = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

// requestLimit is curl's limit for one request, in seconds: a client of flesh would give up later.
const requestLimit = "10"

// wanted is one request of an ordinary person and the body that must come back: exactly Body, or one
// that holds Holds.
type wanted struct {
	path  string
	body  []byte
	holds string
}

const endOfPage = "<!-- end of page -->"

// mark ends the body of each answer in curl's output.
const mark = "\n@@answer %{http_code} %{exitcode} %{urlnum}\n"

var markPattern = regexp.MustCompile(`\n@@answer (\d+) (\d+) (\d+)\n`)

// fetch makes the requests over one kept-alive connection and checks every body.
func (w *worker) fetch(ctx context.Context, client string, all []wanted) error {
	argv := []string{"curl", "-s", "-A", browser, "-m", requestLimit, "-w", mark}
	for _, want := range all {
		argv = append(argv, w.world.url("web", want.path))
	}
	result, err := w.world.Lab.Host(client).Run(ctx, lab.Command{Argv: argv})
	if err != nil && ctx.Err() != nil {
		return err // the run ends: these are nobody's failures
	}
	faults := checkAnswers([]byte(result.Stdout), all)
	if err != nil {
		faults = append(faults, err.Error())
	}
	w.ordinary.count(len(all), len(faults))
	if len(faults) > 0 {
		return errors.New(strings.Join(faults, "; "))
	}
	return nil
}

// checkAnswers gives one fault for each request that was not answered as it should be.
func checkAnswers(output []byte, all []wanted) []string {
	answered := make([]bool, len(all))
	var faults []string
	start := 0
	for _, m := range markPattern.FindAllSubmatchIndex(output, -1) {
		body := output[start:m[0]]
		start = m[1]
		code, exit := string(output[m[2]:m[3]]), string(output[m[4]:m[5]])
		n, err := strconv.Atoi(string(output[m[6]:m[7]]))
		if err != nil || n >= len(all) || answered[n] {
			continue
		}
		answered[n] = true
		want := all[n]
		switch {
		case code != "200" || exit != "0":
			faults = append(faults, fmt.Sprintf("%s: code %s, curl %s", want.path, code, exit))
		case want.body != nil && !bytes.Equal(body, want.body):
			faults = append(faults, fmt.Sprintf("%s: %d bytes, not the %d expected", want.path, len(body), len(want.body)))
		case want.body == nil && !bytes.Contains(body, []byte(want.holds)):
			faults = append(faults, fmt.Sprintf("%s: the page lacks %q", want.path, want.holds))
		}
	}
	for n, ok := range answered {
		if !ok {
			faults = append(faults, all[n].path+": no answer")
		}
	}
	return faults
}

// browse reads a handful of pages with their pictures.
func browse(ctx context.Context, w *worker) error {
	site := w.world.Site
	assets := site.Assets()
	var all []wanted
	for range 2 + w.random.IntN(4) {
		page := wanted{path: "/", holds: endOfPage}
		switch w.random.IntN(4) {
		case 1:
			page.path = "/" + site.NotesPage
		case 2:
			page.path = "/" + site.NotesPage + "?q=" + searches[w.random.IntN(len(searches))]
		case 3:
			page.path = "/" + site.UploadPage
		}
		all = append(all, page)
		for _, asset := range assets {
			if w.random.IntN(4) > 0 {
				all = append(all, wanted{path: asset.Path, body: asset.Body})
			}
		}
	}
	return w.fetch(ctx, w.client, all)
}

// searches are what people look for; some look a little like an attack.
var searches = []string{"milk", "ring+the+plumber", "o%27brien", "cats+%26+dogs", "train", "select+a+date",
	"price+%3C+10", "caf%C3%A9", "union+station", "order+by+phone"}

// sentences of notes, with the words that simple rules trip over.
var sentences = []string{
	"The heating system needs a new valve.", "Bring the cat to Dr. O'Brien at 4pm.",
	"Select a date; then order by phone.", "Evaluate the three offers (see folder B).",
	"Union meeting moved to Thursday.", "Wi-Fi for guests: ask at the desk.",
	"<b>Important:</b> the lift is out of order.", "Echo test in hall 2, shell seating, 40 chairs.",
	"The new base is 64 cm wide.", "Exec lunch -- 12 people, 2 vegetarian.",
}

// uploadNote sends a text and reads it back.
func uploadNote(ctx context.Context, w *worker) error {
	site := w.world.Site
	var text strings.Builder
	for range 1 + w.random.IntN(6) {
		text.WriteString(sentences[w.random.IntN(len(sentences))] + "\n")
	}
	name := fmt.Sprintf("note-%d-%04x.txt", w.turn, w.random.IntN(1<<16))
	back := "/" + site.UploadDir + "/" + name
	argv := []string{"curl", "-s", "-A", browser, "-m", requestLimit, "-w", mark,
		"-F", "note=@-;filename=" + name + ";type=text/plain", w.world.url("web", "/"+site.UploadPage),
		"--next", "-s", "-A", browser, "-m", requestLimit, "-w", strings.ReplaceAll(mark, "%{urlnum}", "1"), w.world.url("web", back)}
	client := []string{"client1", "client2"}[w.random.IntN(2)]
	result, err := w.world.Lab.Host(client).Run(ctx, lab.Command{Argv: argv, Stdin: strings.NewReader(text.String())})
	if err != nil {
		return err
	}
	// curl numbers the URLs of each part on its own or through, by version: the first answer is 0.
	faults := checkAnswers([]byte(result.Stdout), []wanted{
		{path: "/" + site.UploadPage, holds: "stored " + name}, {path: back, body: []byte(text.String())}})
	w.ordinary.count(2, len(faults))
	if len(faults) > 0 {
		return errors.New(strings.Join(faults, "; "))
	}
	return nil
}

// adminPage is the administrator looking at the page that runs df.
func adminPage(ctx context.Context, w *worker) error {
	return w.fetch(ctx, "client1", []wanted{{path: "/" + w.world.Site.StatusPage, holds: "Filesystem"}})
}
