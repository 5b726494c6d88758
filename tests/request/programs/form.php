<?php
// Answers with the fields that PHP has of a multipart body.
header("Content-Type: application/json");
$found = [];
foreach ($_POST as $name => $value) {
    $values = [$value];
    array_walk_recursive($values, function ($each) use (&$found, $name) { $found[] = [(string) $name, $each]; });
}
echo json_encode($found, JSON_INVALID_UTF8_SUBSTITUTE);
