<?php
// Reads queries, one a line in base64; writes names and texts of each as JSON, as parse_str has them.
while (($line = fgets(STDIN)) !== false) {
    parse_str(base64_decode($line), $fields);
    $found = [];
    foreach ($fields as $name => $value) {
        $texts = [];
        $values = [$value];
        array_walk_recursive($values, function ($each) use (&$texts) { $texts[] = $each; });
        foreach ($texts as $each) $found[] = [(string) $name, $each];
    }
    echo json_encode($found, JSON_INVALID_UTF8_SUBSTITUTE), "\n";
}
