// The script of nginx.conf: asks camguard about a request, with its body. Printed by `camguard front nginx-js`.
// For /etc/nginx/camguard.js. Needs njs 0.7 or later.

async function ask(r) {
    // A subrequest that is given no body of its own has the body of the request, also where the body waits in a file.
    const answer = await r.subrequest('/_camguard', { method: r.method === 'GET' ? 'GET' : 'POST' });
    const decision = answer.headersOut['x-camguard-decision'];
    const request_id = answer.headersOut['x-camguard-request-id'];
    if (answer.status === 200 && decision === 'allow' && request_id) {
        r.variables.camguard_request_id = request_id;
        r.variables.camguard_decision = 'allow';
        r.internalRedirect('@camguard_allowed');
    } else if ((answer.status === 403 || answer.status === 503) && decision === 'deny' && request_id) {
        r.variables.camguard_request_id = request_id;
        r.return(200, answer.responseBuffer);  // the refusal as camguard wrote it
    } else {
        r.return(503);  // the envelope of the server's error_page
    }
}

export default { ask };
