"""Pictures and planes of images, as bytes."""

from collections.abc import Iterator

from fastapi import APIRouter, Request, Response

from app.domain.roles import Permission
from app.domain.states import RegionState
from app.services.explorer_folder import read_links
from app.services.review_types import ImagePlanes, QueueFilter, RegionRow
from app.web.context import Context, WebContext, requires
from app.web.pictures import browser_picture, thumbnail
from app.web.wire import PackedPlane, pack_planes, pack_raw, pack_runs

router = APIRouter(dependencies=[requires(Permission.REVIEW)])

_THUMBNAIL_WH = 160, 112
_PENDING = None, RegionState.SECOND_REVIEW  # None lists open and skipped regions.
_PAGE = 500


@router.get("/images/{image_id}/picture")
def picture(context: Context, image_id: int, request: Request) -> Response:
    """The image, upright."""
    image = context.review.image(image_id)
    if is_known(request, image.sha256):
        return Response(status_code=304, headers=cache_headers(image.sha256))
    content, media_type = browser_picture(image.path, image.sha256)
    return Response(content, media_type=media_type, headers=cache_headers(image.sha256))


@router.get("/images/{image_id}/planes")
def planes(context: Context, image_id: int, request: Request) -> Response:
    """Proposal, lock, region map and what people decided, in one body (see wire.py)."""
    found = context.review.image_planes(image_id)
    if is_known(request, found.etag):
        return Response(status_code=304, headers=cache_headers(found.etag))
    body = _pack(found, pending_regions(context, image_id))
    return Response(body, media_type="application/octet-stream", headers=cache_headers(found.etag))


@router.get("/images/{image_id}/unreliability")
def unreliability(context: Context, image_id: int, request: Request) -> Response:
    """How unsure the model is, pixel by pixel (see wire.py): larger than all planes together, and rarely looked at."""
    found = context.review.image_planes(image_id)
    if is_known(request, found.maps_etag):
        return Response(status_code=304, headers=cache_headers(found.maps_etag))
    body = pack_planes(_size(found), [pack_raw("unreliability", found.unreliability)])
    return Response(body, media_type="application/octet-stream", headers=cache_headers(found.maps_etag))


@router.get("/images/{image_id}/explorer", dependencies=[requires(Permission.RUN_JOBS)])
def explorer(context: Context, image_id: int) -> dict[str, str | None]:
    """Where FiftyOne shows the image; null when it was not synced."""
    found, links = context.review.image(image_id), read_links(context.workspace)
    return {"url": None if links is None else links.address(found.sha256)}


@router.get("/regions/{region_id}/thumbnail")
def region_thumbnail(context: Context, region_id: int) -> Response:
    """A small JPEG of the region with its surroundings, also of an earlier proposal's: lists show what was decided."""
    row = context.review.region_row(region_id)
    content = thumbnail(context.review.image(row.image_id).path, row.bbox, _THUMBNAIL_WH)
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"})


def is_known(request: Request, etag: str) -> bool:
    """Whether the browser has kept this version."""
    return request.headers.get("if-none-match") == f'"{etag}"'


def cache_headers(etag: str) -> dict[str, str]:
    """Browsers keep the bytes and ask each time whether they still hold."""
    return {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache"}


def pending_regions(context: WebContext, image_id: int) -> list[dict[str, object]]:
    """The regions of an image that wait for somebody, as the reviewer's region map needs them."""
    filters = [QueueFilter(state, image_id=image_id, include_enough=True) for state in _PENDING]
    rows = (row for each in filters for row in _all_rows(context, each))
    return [{"region_id": row.region_id, "number": row.number, "state": row.state} for row in rows]


def _all_rows(context: WebContext, filters: QueueFilter) -> Iterator[RegionRow]:
    offset = 0
    while page := context.review.queue(filters, _PAGE, offset):
        yield from page
        offset += _PAGE


def _pack(found: ImagePlanes, regions: list[dict[str, object]]) -> bytes:
    header = {
        **_size(found),
        "image_id": found.image_id,
        "sample_id": found.sample_id,
        "image_name": found.image_name,
        "image_version": found.image_version,
        "proposal_id": found.proposal_id,
        "regions": regions,
    }
    planes = [
        PackedPlane("proposal", "u8", "rle", found.planes.runs("label")),
        PackedPlane("reliable", "u8", "rle", found.planes.runs("reliable")),
        PackedPlane("regions", "u16", "rle", found.planes.runs("region_map")),
    ]
    if found.decided is not None:
        planes.append(pack_runs("decided", found.decided.values, found.decided.bbox))
    return pack_planes(header, planes)


def _size(found: ImagePlanes) -> dict[str, object]:
    width, height = found.size_wh
    return {"width": width, "height": height}
