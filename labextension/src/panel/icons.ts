import { LabIcon } from '@jupyterlab/ui-components';

export const minusIcon = new LabIcon({
  name: 'jupyter-model-service:minus',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" d="M19 13H5v-2h14v2z"/>
</svg>`
});
