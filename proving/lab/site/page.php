<?php
function head(string $title): void {
    header('Content-Type: text/html; charset=utf-8');
    echo "<!doctype html><html><head><title>{{.Title}}: ", htmlspecialchars($title), "</title>",
        "<link rel=\"stylesheet\" href=\"/css/site.css\"><script src=\"/js/site.js\"></script></head><body><h1>",
        htmlspecialchars($title), "</h1>\n";
}
function foot(): void {
    echo "<hr><p>{{.Title}}</p><!-- end of page --></body></html>\n";
}
