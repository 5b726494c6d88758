-- The action `lua.camguard` of haproxy.cfg: asks camguard about a request. Printed by `camguard front haproxy-lua`.
-- Identity: mode "either".
-- Who calls is in the header x-camguard-principal, if haproxy.cfg sets it.

local URL = "http://127.0.0.1:8600/authz/haproxy"
local MILLISECONDS = 500  -- HAProxy 2.6 asks up to four times

-- Headers of the connection, and those that frame the request to camguard.
local LEFT_OUT = {
    ["connection"] = true, ["content-length"] = true, ["host"] = true, ["keep-alive"] = true,
    ["transfer-encoding"] = true, ["te"] = true, ["trailer"] = true, ["upgrade"] = true, ["expect"] = true,
}

local function first(values)
    if type(values) ~= "table" then
        return values
    end
    for _, value in pairs(values) do
        return value
    end
    return nil
end

local function ask(txn)
    local headers = {}
    -- All headers and all their lines: camguard refuses what stands twice or is spelled in another way.
    for name, values in pairs(txn.http:req_get_headers()) do
        if not LEFT_OUT[name] then
            local lines = {}
            for _, value in pairs(values) do
                lines[#lines + 1] = value
            end
            headers[name] = lines
        end
    end
    headers["x-original-method"] = { txn.sf:method() }
    headers["x-original-uri"] = { txn.sf:pathq() }
    headers["x-original-host"] = { txn.sf:req_fhdr("host") }
    headers["x-real-ip"] = { txn.sf:src() }
    local request = { url = URL, headers = headers, timeout = MILLISECONDS }
    local body = txn.sf:req_body()
    if body ~= nil and #body > 0 then
        request.body = body
        return core.httpclient():post(request)
    end
    return core.httpclient():get(request)
end

core.register_action("camguard", { "http-req" }, function(txn)
    txn:set_var("txn.camguard", "unavailable")
    local asked, answer = pcall(ask, txn)
    if not asked or answer == nil or answer.headers == nil then
        return
    end
    local decision = first(answer.headers["x-camguard-decision"])
    local request_id = first(answer.headers["x-camguard-request-id"])
    if answer.status == 200 and decision == "allow" and request_id ~= nil then
        txn:set_var("txn.camguard_request_id", request_id)
        txn:set_var("txn.camguard", "allow")
    elseif answer.status == 403 and decision == "deny" and answer.body ~= nil then
        txn:set_var("txn.camguard_answer", answer.body)
        txn:set_var("txn.camguard", "deny")
    end
end)
