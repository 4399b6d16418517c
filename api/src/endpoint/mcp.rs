//! What a run may do, as tools of the Model Context Protocol. There are no sessions: each request brings the run's token.

use super::body::LONGEST;
use super::holder::Holder;
use super::routes::{digest, ended, gathered};
use crate::agents::toolbox::{self, Means, Toolbox, divided};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use rejoin::{Participant, RunError, RunStatus};
use rmcp::ErrorData;
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Answers one request.
pub(super) async fn serve(Holder { participant, .. }: Holder, request: Request) -> Response {
    let tools = Tools { participant };
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(LONGEST);
    let service =
        StreamableHttpService::new(move || Ok(tools.clone()), Arc::new(NeverSessionManager::default()), config);
    service.handle(request).await.into_response()
}

/// The tools of whoever works for a run.
#[derive(Clone)]
struct Tools {
    participant: Participant,
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let about = Implementation::new("rejoin", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(about)
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.toolbox()?.shown().map(shown).collect()))
    }

    async fn call_tool(
        &self,
        CallToolRequestParams { name, arguments, .. }: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let toolbox = self.toolbox()?;
        let unknown = || format!("there is no tool {name:?}; there are: {}", toolbox.names());
        let means = toolbox.means(&name).ok_or_else(|| ErrorData::invalid_params(unknown(), None))?;
        let arguments = arguments.unwrap_or_default();
        let result = match means {
            Means::Call { name, job, .. } => self.call(name, job.as_deref(), arguments).await,
            Means::Subagents { .. } => self.divide(&arguments).await,
            // Those are for models that hold a conversation themselves.
            Means::Ask | Means::Transfer { .. } | Means::HandOff => Err(unknown()),
        };
        Ok(result.unwrap_or_else(|message| CallToolResult::error(vec![ContentBlock::text(message)])).into())
    }
}

impl Tools {
    fn toolbox(&self) -> Result<Toolbox, ErrorData> {
        let known = || Ok(Toolbox::new(&self.participant.callable()?, self.participant.subagents_allowed()?));
        known().map_err(|error: RunError| ErrorData::internal_error(error.to_string(), None))
    }

    /// What a call came to: its output as text, or what it ended as.
    async fn call(
        &self,
        name: &str,
        job: Option<&str>,
        arguments: Map<String, Value>,
    ) -> Result<CallToolResult, String> {
        let arguments = Value::Object(arguments);
        let key = self.key(&digest(name, job, &arguments)).map_err(|error| error.to_string())?;
        let call = self.participant.tool_call(key, name, job, arguments);
        let mut came = ended(call.await).map_err(|error| error.to_string())?;
        if came["status"] != "completed" {
            return Err(came.to_string());
        }
        let text = match came["output"].take() {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]))
    }

    /// The key of a call: what was begun is found again, and what has failed is begun anew.
    fn key(&self, digest: &str) -> Result<String, RunError> {
        for number in 1_u32.. {
            let key = if number == 1 { digest.to_owned() } else { format!("{digest} {number}") };
            let status = self.participant.called(&key)?;
            if status.is_none_or(|status| !status.is_closed() || status == RunStatus::Completed) {
                return Ok(key);
            }
        }
        Ok(digest.to_owned())
    }

    async fn divide(&self, arguments: &Map<String, Value>) -> Result<CallToolResult, String> {
        let tasks = divided(arguments.get("tasks"))?;
        let results = gathered(&self.participant, tasks, None).await.map_err(|refusal| refusal.to_string())?;
        Ok(CallToolResult::success(vec![ContentBlock::text(Value::Object(results).to_string())]))
    }
}

fn shown(toolbox::Tool { name, description, parameters }: &toolbox::Tool) -> Tool {
    let parameters = parameters.as_object().cloned().unwrap_or_default();
    Tool::new(name.clone(), description.clone(), Arc::new(parameters))
}

const INSTRUCTIONS: &str = "Workflows and agents that this work may use. The same call with the same arguments finds what the first one \
     began, so that a call which was cut off can be made again; one that has failed is made anew.";
