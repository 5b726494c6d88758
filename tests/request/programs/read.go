// Reads queries or multipart bodies, as the first argument says, one a line in base64; writes names and texts as JSON.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<20)
	for lines.Scan() {
		var fields url.Values
		pieces := strings.Split(lines.Text(), " ")
		first, _ := base64.StdEncoding.DecodeString(pieces[0])
		if os.Args[1] == "query" {
			fields, _ = url.ParseQuery(string(first))
		} else {
			body, _ := base64.StdEncoding.DecodeString(pieces[1])
			request, _ := http.NewRequest("POST", "/", bytes.NewReader(body))
			request.Header.Set("Content-Type", string(first))
			if request.ParseMultipartForm(1<<20) == nil {
				fields = request.MultipartForm.Value
			}
		}
		found := [][]string{}
		for name, texts := range fields {
			for _, text := range texts {
				found = append(found, []string{name, text})
			}
		}
		written, _ := json.Marshal(found)
		fmt.Println(string(written))
	}
}
