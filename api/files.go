// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/brain"
)

// FoundFile is one content under one path that the file layer had something to say of.
type FoundFile struct {
	Host       string    `json:"host"`
	Path       string    `json:"path"`
	SHA256     string    `json:"sha256,omitempty"`
	Size       int64     `json:"size"`
	Colour     string    `json:"colour" enum:"grey,black,white"`
	Score      float64   `json:"score" minimum:"0" maximum:"1"`
	Stage      string    `json:"stage"`
	Rule       string    `json:"rule" doc:"Of the newest finding"`
	Title      string    `json:"title"`
	Techniques []string  `json:"techniques"`
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
	Count      int64     `json:"count" doc:"Findings"`
	Finding    string    `json:"finding" doc:"The newest"`
	Quarantine *Action   `json:"quarantine,omitempty" doc:"The newest quarantine of that path"`
}

func foundOf(f brain.File) FoundFile {
	out := FoundFile{
		Host: f.Host, Path: f.Path, SHA256: f.SHA256, Size: f.Size, Colour: f.Colour, Score: f.Score, Stage: f.Stage, Rule: f.Rule, Title: f.Title,
		Techniques: some(f.Techniques), First: f.First, Last: f.Last, Count: f.Count, Finding: f.Finding,
	}
	if f.Quarantine != nil {
		a := ActionOf(f.Quarantine)
		out.Quarantine = &a
	}
	return out
}

// Files is a page of found files.
type Files struct {
	Page[FoundFile]
	Cut bool `json:"cut" doc:"There is more than is listed: narrow it"`
}

func (s *Server) fileOps() {
	type list struct {
		ListIn
		Host   string    `query:"host" maxLength:"255"`
		Text   string    `query:"q" maxLength:"256" doc:"In path, rule or title, or a whole sha256"`
		Colour string    `query:"colour" enum:"grey,black"`
		Since  time.Time `query:"since"`
		Until  time.Time `query:"until"`
		Sort   string    `query:"sort" enum:"last,first,score,path" default:"last"`
	}
	register(s, operation{method: http.MethodGet, path: "/v1/files", id: "listFiles", tag: "Files", need: access.Read, summary: "List the files that the file layer had something to say of",
		text: "Read from the archive; needs the engine of hunts."},
		func(ctx context.Context, in *list) (*body[Files], error) {
			found, cut, err := s.back.Files(ctx, in.tenant(), brain.FileQuery{Host: in.Host, Text: in.Text, Colour: in.Colour, Since: in.Since, Until: in.Until})
			if err != nil {
				return nil, err
			}
			page, err := window(found, in.ListIn, func(f brain.File) place {
				key := map[string]string{"last": moment(f.Last), "first": moment(f.First), "score": fmt.Sprintf("%.9f", f.Score), "path": f.Path}[in.Sort]
				return place{key, f.Host + "\x00" + f.Path + "\x00" + f.SHA256}
			})
			return answer(Files{Page[FoundFile]{each(page.Items, foundOf), page.Next}, cut}), err
		})
}
